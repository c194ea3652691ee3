/* The mount: libfuse's loop runs on a thread of its own, and the first thread waits for what happens (`bell`): the
 * first request was there, a signal came, the loop has ended.
 *
 * To end, it is not enough to leave the loop: pages that programs wrote through mmap() are still the kernel's alone. So
 * on a signal syncfs() brings them in first, with the loop still serving it; a second signal does not wait for that. */
#include "fs/mount.h"

#include <fcntl.h>
#include <mntent.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conf/base.h"
#include "conf/log.h"
#include "conf/why.h"
#include "fs/later.h"
#include "fs/ops.h"

struct mount {
	const struct conf *conf;
	struct ops ops;
	struct fuse_session *se;
	struct transport transport;
	struct later *later;
	pthread_t loop, flusher, prober;
	sem_t bell;
	bool ops_made;
	atomic_bool up;	      /* the kernel is served: it has had an answer */
	atomic_bool ended;    /* the loop is */
	atomic_bool flushed;  /* nothing is left in the kernel */
	atomic_uint nr_stops; /* signals that came */
	int loop_err;	      /* valid once ended */
};

/* ---- before ---- */

static bool mount_is_matfs(const char *path)
{
	FILE *f = setmntent("/proc/self/mounts", "re");
	struct mntent ent, *e;
	bool found = false;
	char buf[8192];

	if (!f)
		return false;
	/* The last one stands on top. */
	while ((e = getmntent_r(f, &ent, buf, sizeof(buf)))) {
		if (strcmp(e->mnt_dir, path) == 0)
			found = strcmp(e->mnt_type, "fuse.matfs") == 0;
	}
	endmntent(f);
	return found;
}

/* What the mount on @mountpoint answers: 0, -ENOTCONN from a dead one, or else. The kernel knows the root's attributes for
 * a while after a daemon has died, so more is asked for. */
static int mount_answer(const char *mountpoint)
{
	struct statvfs space;
	struct stat st;

	return stat(mountpoint, &st) || statvfs(mountpoint, &space) ? -errno : 0;
}

/* Times to ask, 20 ms apart, until a mount whose daemon was just killed says that it is dead: with io_uring, what the
 * daemon had from the kernel is failed first, one by one. */
#define ANSWER_TRIES 100

int mount_check(const char *mountpoint, char *why, size_t why_len)
{
	const struct why line = {.buf = why, .len = why_len};
	bool ours = mount_is_matfs(mountpoint);
	struct stat st;
	int err = stat(mountpoint, &st) ? -errno : 0;

	if (!err && ours)
		err = mount_answer(mountpoint);
	for (int i = 0; ours && err && err != -ENOTCONN && i < ANSWER_TRIES; i++) {
		usleep(20000);
		err = mount_answer(mountpoint);
	}
	if (err == -ENOTCONN)
		return why_say(&line, err,
			       "mountpoint %s: a mount whose daemon has died is still there; "
			       "end it with: fusermount3 -u %s",
			       mountpoint, mountpoint);
	if (ours)
		return why_say(&line, -EBUSY,
			       "mountpoint %s: a matfs is mounted there already; unmount it with: "
			       "fusermount3 -u %s",
			       mountpoint, mountpoint);
	if (err == -ENOENT)
		return why_say(&line, err, "mountpoint %s: no such directory; make it first",
			       mountpoint);
	if (err)
		return why_say(&line, err, "mountpoint %s: %s", mountpoint, strerror(-err));
	if (!S_ISDIR(st.st_mode))
		return why_say(&line, -ENOTDIR, "mountpoint %s: not a directory", mountpoint);
	return 0;
}

/* ---- the session ---- */

static void mount_log(enum fuse_log_level level, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));
static void mount_log(enum fuse_log_level level, const char *fmt, va_list ap)
{
	char line[512];
	size_t len;

	vsnprintf(line, sizeof(line), fmt, ap);
	len = strlen(line);
	if (len && line[len - 1] == '\n')
		line[len - 1] = 0;
	if (level <= FUSE_LOG_ERR)
		log_error("%s", line);
	else if (level <= FUSE_LOG_INFO)
		log_note("%s", line);
	else
		log_debug("%s", line);
}

static int mount_args(const struct mount *m, bool rdonly, struct fuse_args *args)
{
	const struct conf *conf = m->conf;
	int bad = fuse_opt_add_arg(args, "matfs");

	for (unsigned i = 0; i < conf->nr_fuse_opts; i++) {
		bad = bad || fuse_opt_add_arg(args, "-o");
		bad = bad || fuse_opt_add_arg(args, conf->fuse_opts[i]);
	}
	if (rdonly && !conf->ro)
		bad = bad || fuse_opt_add_arg(args, "-oro");
	if (conf->debug)
		bad = bad || fuse_opt_add_arg(args, "-d");
	if (m->transport.uring) {
		char depth[40];

		snprintf(depth, sizeof(depth), "-oio_uring_q_depth=%u", m->transport.depth);
		bad = bad || fuse_opt_add_arg(args, "-oio_uring");
		bad = bad || fuse_opt_add_arg(args, depth);
	}
	return bad ? -ENOMEM : 0;
}

/* libfuse wants to hear of max_read twice: as an option, and in its init handler. */
static uint32_t mount_max_read(const struct conf *conf)
{
	static const char name[] = "max_read=";
	uint32_t max = 0;

	for (unsigned i = 0; i < conf->nr_fuse_opts; i++) {
		if (strncmp(conf->fuse_opts[i], name, strlen(name)) == 0)
			max = (uint32_t)strtoul(conf->fuse_opts[i] + strlen(name), NULL, 10);
	}
	return max;
}

/* The first request has come. */
static void mount_ready(void *arg)
{
	struct mount *m = arg;

	/* The mount's thread reads the text only after this, and so does whoever asks for `.stats`. */
	if (m->transport.uring && atomic_load(&m->ops.served) == OPS_SERVED_CLASSIC)
		transport_fell_back(&m->transport);
	atomic_store(&m->up, true);
	sem_post(&m->bell);
}

static int mount_parts(struct mount *m)
{
	int err = ops_init(&m->ops);

	m->ops_made = !err;
	if (!err)
		err = later_new(LATER_MAX, &m->later);
	m->ops.later = m->later;
	return err;
}

int mount_new(struct fs *fs, const struct conf *conf, const struct transport *transport,
	      struct mount **out, char *why, size_t why_len)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct mount *m = calloc(1, sizeof(*m));
	int err = m ? 0 : -ENOMEM;

	if (!err) {
		sem_init(&m->bell, 0, 0);
		m->conf = conf;
		m->transport = *transport;
		m->ops.fs = fs;
		m->ops.mountpoint = conf->mountpoint;
		m->ops.transport = m->transport.text;
		m->ops.uring = m->transport.uring;
		m->ops.dirsync = conf->dirsync || conf->sync;
		m->ops.max_read = mount_max_read(conf);
		m->ops.ready = mount_ready;
		m->ops.ready_arg = m;
		fuse_set_log_func(mount_log);
		err = mount_parts(m);
	}
	if (!err)
		err = mount_args(m, fs->rdonly, &args);
	if (!err) {
		m->se = fuse_session_new(&args, ops_table(), sizeof(*ops_table()), &m->ops);
		m->ops.se = m->se;
		err = m->se && !fuse_session_mount(m->se, conf->mountpoint) ? 0 : -EIO;
	}
	fuse_opt_free_args(&args);
	if (!err) {
		*out = m;
		return 0;
	}
	snprintf(why, why_len, "cannot mount on %s: %s", conf->mountpoint,
		 err == -EIO ? "the line above says why" : strerror(-err));
	if (m)
		mount_free(m);
	return err;
}

void mount_free(struct mount *m)
{
	if (m->se) {
		fuse_session_unmount(m->se);
		fuse_session_destroy(m->se);
	}
	later_free(m->later);
	if (m->ops_made)
		ops_fini(&m->ops);
	sem_destroy(&m->bell);
	free(m);
}

/* ---- signals ---- */

/* A process has one set of signals, so the handler's mount hangs off the file. */
static struct mount *mount_signalled;

static void mount_stop(int sig)
{
	(void)sig;
	atomic_fetch_add(&mount_signalled->nr_stops, 1);
	sem_post(&mount_signalled->bell);
}

static void mount_nothing(int sig)
{
	(void)sig;
}

static const int stop_signals[] = {SIGTERM, SIGINT, SIGHUP};

static void mount_catch(struct mount *m)
{
	struct sigaction stop = {.sa_handler = mount_stop, .sa_flags = SA_RESTART};
	/* Without SA_RESTART: it is there to interrupt. */
	struct sigaction nudge = {.sa_handler = mount_nothing};

	mount_signalled = m;
	for (size_t i = 0; i < ARRAY_LEN(stop_signals); i++)
		sigaction(stop_signals[i], &stop, NULL);
	sigaction(SIGUSR1, &nudge, NULL);
}

/* What comes from now on is of no interest: the end is near. */
static void mount_uncatch(void)
{
	for (size_t i = 0; i < ARRAY_LEN(stop_signals); i++)
		signal(stop_signals[i], SIG_IGN);
	mount_signalled = NULL;
}

/* ---- the loop ---- */

static void *mount_loop(void *arg)
{
	struct mount *m = arg;
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int err = -ENOMEM;

	if (config) {
		/* With io_uring, what comes here is little more than what the kernel forgets. */
		fuse_loop_cfg_set_clone_fd(config, m->transport.clone_fd);
		fuse_loop_cfg_set_max_threads(config, m->transport.threads);
		err = fuse_session_loop_mt(m->se, config);
		fuse_loop_cfg_destroy(config);
	}
	m->loop_err = err;
	atomic_store(&m->ended, true);
	sem_post(&m->bell);
	return NULL;
}

/* A request of our own is the first, where no other is: it waits until the kernel and we have agreed, and tells that we
 * serve, and by which transport. */
static void *mount_probe(void *arg)
{
	struct mount *m = arg;
	struct statvfs space;

	if (statvfs(m->conf->mountpoint, &space))
		log_debug("statvfs of %s: %s", m->conf->mountpoint, strerror(errno));
	return NULL;
}

/* Run sync(1) for the mountpoint. */
static int mount_sync(const char *mountpoint)
{
	char name[] = "sync", option[] = "-f", end[] = "--";
	AUTO_FREE char *path = strdup(mountpoint);
	char *argv[] = {name, option, end, path, NULL};
	posix_spawnattr_t attr;
	sigset_t none;
	int status = 0, err;
	pid_t pid;

	if (!path)
		return -ENOMEM;
	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	/* A group of its own: a second Ctrl-C is for us. */
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
	err = posix_spawnp(&pid, "sync", NULL, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	if (err)
		return -err;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EIO;
}

/* Where there is none, or it does not know -f. */
static int mount_sync_here(const char *mountpoint)
{
	AUTO_FD int fd = open(mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || syncfs(fd) ? -errno : 0;
}

/* Have the kernel write what it holds of our files. By another process: what waits for an answer of ours cannot be killed
 * while our descriptor of /dev/fuse is open, and it stays open as long as a thread of ours waits. */
static void *mount_flush(void *arg)
{
	struct mount *m = arg;
	int err = mount_sync(m->conf->mountpoint);

	if (err)
		err = mount_sync_here(m->conf->mountpoint);
	if (err)
		log_warn("cannot have the kernel write %s: %s", m->conf->mountpoint,
			 strerror(-err));
	atomic_store(&m->flushed, true);
	sem_post(&m->bell);
	return NULL;
}

/* Leave the loop. libfuse 3.14 notices only when a signal interrupts it, which may come just before it waits. */
static void mount_end_loop(struct mount *m)
{
	struct timespec pause = {.tv_nsec = 10000000};

	fuse_session_exit(m->se);
	while (!atomic_load(&m->ended)) {
		pthread_kill(m->loop, SIGUSR1);
		nanosleep(&pause, NULL);
	}
}

/* io_uring was demanded, and libfuse could not start it after all. */
static bool mount_refused(const struct mount *m)
{
	return m->conf->transport == CONF_TRANSPORT_URING && !m->transport.uring;
}

/* Until the loop has ended, by itself or because of a signal. Returns whether the flusher was started. */
static bool mount_watch(struct mount *m, void (*up)(void *arg), void *arg)
{
	bool told = false, flushing = false;

	while (!atomic_load(&m->ended)) {
		if (sem_wait(&m->bell))
			continue; /* interrupted */
		if (atomic_load(&m->up) && mount_refused(m)) {
			mount_end_loop(m);
			break;
		}
		if (atomic_load(&m->up) && !told) {
			up(arg);
			told = true;
		}
		if (atomic_load(&m->nr_stops) && !flushing)
			flushing = !pthread_create(&m->flusher, NULL, mount_flush, m);
		if (atomic_load(&m->nr_stops) > 1 || (m->nr_stops && !flushing) ||
		    atomic_load(&m->flushed))
			mount_end_loop(m);
	}
	return flushing;
}

int mount_run(struct mount *m, void (*up)(void *arg), void *arg)
{
	bool flushing, probing;
	int err;

	mount_catch(m);
	err = -pthread_create(&m->loop, NULL, mount_loop, m);
	if (err)
		return err;
	probing = !pthread_create(&m->prober, NULL, mount_probe, m);
	flushing = mount_watch(m, up, arg);
	pthread_join(m->loop, NULL);
	mount_uncatch();
	/* Replies go through the session, so it stays until the last one. */
	ops_drain(&m->ops);
	fuse_session_unmount(m->se);
	if (flushing)
		pthread_join(m->flusher, NULL);
	if (probing)
		pthread_join(m->prober, NULL);
	if (atomic_load(&m->up) && mount_refused(m)) {
		log_error("transport=uring: libfuse could not start it, the line above says why; "
			  "transport=auto does without");
		return -EOPNOTSUPP;
	}
	/* A number above zero is the signal that ended the loop. */
	if (m->loop_err < 0) {
		log_error("the connection to the kernel broke: %s", strerror(-m->loop_err));
		return -EIO;
	}
	return 0;
}

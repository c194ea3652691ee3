/* flock, fcntl and open-file-description locks between processes. */
#include "posix.h"

#include <sys/file.h>

static struct flock range(short type, off_t start, off_t len)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
}

static int set_lock(int fd, int cmd, short type, off_t start, off_t len)
{
	struct flock fl = range(type, start, len);

	return fcntl(fd, cmd, &fl);
}

static void flock_excludes_other_descriptions(void)
{
	int a = OK(open("f", O_RDWR | O_CREAT, 0644));
	int b = OK(open("f", O_RDONLY)), dup_a;

	OK(flock(a, LOCK_EX));
	FAILS(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	FAILS(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	if (child_begin() == 0) {
		int c = OK(open("f", O_RDWR));

		FAILS(flock(c, LOCK_SH | LOCK_NB), EWOULDBLOCK);
		/* The inherited description holds the lock. */
		OK(flock(a, LOCK_EX | LOCK_NB));
		_exit(0);
	}
	child_wait(__FILE__, __LINE__, -1);
	OK(flock(a, LOCK_SH));
	OK(flock(b, LOCK_SH | LOCK_NB));
	FAILS(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	OK(flock(b, LOCK_UN));
	/* Until the last duplicate is closed it is held. */
	OK(flock(a, LOCK_EX | LOCK_NB));
	dup_a = OK(dup(a));
	close(a);
	FAILS(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	close(dup_a);
	OK(flock(b, LOCK_EX | LOCK_NB));
	FAILS(flock(b, 0), EINVAL);
	close(b);
	b = OK(open(".", O_RDONLY | O_DIRECTORY));
	OK(flock(b, LOCK_EX | LOCK_NB));
	close(b);
}

/* In a child: take the exclusive lock, say so, hold it for 100 ms, leave. */
static pid_t hold_for_a_while(int how)
{
	int ready[2], fd;
	pid_t pid;
	char c;

	OK(pipe(ready));
	pid = child_begin();
	if (pid == 0) {
		fd = OK(open("f", O_RDWR));
		OK(how ? set_lock(fd, how, F_WRLCK, 0, 0) : flock(fd, LOCK_EX));
		OK(write(ready[1], "x", 1));
		nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
		OK(pwrite(fd, "held", 4, 0));
		_exit(0);
	}
	close(ready[1]);
	EQ(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

/* A waiter gets the lock when its holder ends, and sees what the holder wrote. */
static void waiters_get_the_lock_when_its_holder_ends(void)
{
	static const int hows[] = {0, F_SETLK, F_OFD_SETLK};
	char buf[4];
	double start;
	pid_t pid;
	int fd;

	for (int i = 0; i < 3; i++) {
		MAKE_TEXT("f", "free");
		pid = hold_for_a_while(hows[i]);
		start = seconds_now();
		fd = OK(open("f", O_RDWR));
		OK(hows[i] ? set_lock(fd, hows[i] == F_SETLK ? F_SETLKW : F_OFD_SETLKW, F_WRLCK, 0,
				      0)
			   : flock(fd, LOCK_EX));
		CHECKF(seconds_now() - start > 0.03, "the lock was free after %.3f s",
		       seconds_now() - start);
		EQ(OK(pread(fd, buf, 4, 0)), 4);
		BYTES_ARE(buf, "held", 4);
		close(fd);
		child_wait(__FILE__, __LINE__, pid);
	}
}

static void killed_holder_frees_its_locks(void)
{
	int ready[2], fd;
	pid_t pid;
	char c;

	MAKE_TEXT("f", "");
	OK(pipe(ready));
	pid = child_begin();
	if (pid == 0) {
		fd = OK(open("f", O_RDWR));
		OK(flock(fd, LOCK_EX));
		OK(set_lock(fd, F_SETLK, F_WRLCK, 0, 0));
		OK(write(ready[1], "x", 1));
		pause();
		_exit(0);
	}
	EQ(read(ready[0], &c, 1), 1);
	fd = OK(open("f", O_RDWR));
	FAILS(flock(fd, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	FAILS(set_lock(fd, F_SETLK, F_WRLCK, 0, 0), EAGAIN);
	OK(kill(pid, SIGKILL));
	waitpid(pid, NULL, 0);
	OK(flock(fd, LOCK_EX | LOCK_NB));
	OK(set_lock(fd, F_SETLK, F_WRLCK, 0, 0));
	close(fd);
	close(ready[0]);
	close(ready[1]);
}

static void record_locks_are_by_range_and_process(void)
{
	int fd = OK(open("f", O_RDWR | O_CREAT, 0644)), other;
	struct flock fl;
	pid_t parent = getpid();

	OK(set_lock(fd, F_SETLK, F_WRLCK, 100, 50));
	OK(set_lock(fd, F_SETLK, F_RDLCK, 1000, 10));
	/* The middle of a lock can be given back. */
	OK(set_lock(fd, F_SETLK, F_UNLCK, 120, 10));
	if (child_begin() == 0) {
		other = OK(open("f", O_RDWR));
		OK(set_lock(other, F_SETLK, F_WRLCK, 0, 100));
		FAILS(set_lock(other, F_SETLK, F_WRLCK, 99, 2), EAGAIN);
		FAILS(set_lock(other, F_SETLK, F_RDLCK, 119, 1), EAGAIN);
		OK(set_lock(other, F_SETLK, F_WRLCK, 120, 10));
		FAILS(set_lock(other, F_SETLK, F_WRLCK, 130, 1), EAGAIN);
		OK(set_lock(other, F_SETLK, F_RDLCK, 1000, 10));
		FAILS(set_lock(other, F_SETLK, F_WRLCK, 1009, 1), EAGAIN);
		fl = range(F_WRLCK, 0, 0);
		OK(fcntl(other, F_GETLK, &fl));
		EQ(fl.l_type, F_WRLCK);
		EQ(fl.l_pid, parent);
		EQ(fl.l_start, 100);
		EQ(fl.l_len, 20);
		fl = range(F_RDLCK, 1000, 10);
		OK(fcntl(other, F_GETLK, &fl));
		EQ(fl.l_type, F_UNLCK);
		/* Locks are not inherited, even on the inherited descriptor. */
		FAILS(set_lock(fd, F_SETLK, F_WRLCK, 100, 1), EAGAIN);
		/* Closing any descriptor of the file drops them all: POSIX. */
		close(fd);
		fl = range(F_WRLCK, 0, 100);
		OK(fcntl(other, F_GETLK, &fl));
		EQ(fl.l_type, F_UNLCK);
		_exit(0);
	}
	child_wait(__FILE__, __LINE__, -1);
	/* The same process never conflicts with itself. */
	other = OK(open("f", O_RDONLY));
	OK(set_lock(fd, F_SETLK, F_WRLCK, 0, 0));
	FAILS(set_lock(other, F_SETLK, F_WRLCK, 0, 1), EBADF);
	close(other);
	if (child_begin() == 0) {
		other = OK(open("f", O_RDWR));
		OK(set_lock(other, F_SETLK, F_WRLCK, 0, 0));
		_exit(0);
	}
	child_wait(__FILE__, __LINE__, -1);
	close(fd);
}

static void deadlock_is_noticed(void)
{
	int fd = OK(open("f", O_RDWR | O_CREAT, 0644)), ready[2];
	pid_t pid;
	char c;

	OK(pipe(ready));
	OK(set_lock(fd, F_SETLK, F_WRLCK, 0, 1));
	pid = child_begin();
	if (pid == 0) {
		OK(set_lock(fd, F_SETLK, F_WRLCK, 1, 1));
		OK(write(ready[1], "x", 1));
		OK(set_lock(fd, F_SETLKW, F_WRLCK, 0, 1));
		_exit(0);
	}
	EQ(read(ready[0], &c, 1), 1);
	nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
	FAILS(set_lock(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
	OK(set_lock(fd, F_SETLK, F_UNLCK, 0, 1));
	child_wait(__FILE__, __LINE__, pid);
	close(ready[0]);
	close(ready[1]);
	close(fd);
}

static void on_signal(int sig)
{
	(void)sig;
}

static void waiting_can_be_interrupted(void)
{
	struct sigaction sa = {.sa_handler = on_signal}, old;
	int fd, other = OK(open("f", O_RDWR | O_CREAT, 0644));
	pid_t pid;

	OK(flock(other, LOCK_EX));
	OK(set_lock(other, F_OFD_SETLK, F_WRLCK, 0, 0));
	OK(sigaction(SIGUSR1, &sa, &old));
	pid = child_begin();
	if (pid == 0) {
		fd = OK(open("f", O_RDWR));
		FAILS(flock(fd, LOCK_EX), EINTR);
		FAILS(set_lock(fd, F_SETLKW, F_WRLCK, 0, 0), EINTR);
		_exit(0);
	}
	/* More than two signals, as one may come between the two waits. */
	while (waitpid(pid, NULL, WNOHANG) == 0) {
		nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
		kill(pid, SIGUSR1);
	}
	OK(sigaction(SIGUSR1, &old, NULL));
	close(other);
}

static void description_locks_belong_to_the_description(void)
{
	int a = OK(open("f", O_RDWR | O_CREAT, 0644));
	int b = OK(open("f", O_RDWR)), c;
	struct flock fl;

	OK(set_lock(a, F_OFD_SETLK, F_WRLCK, 0, 10));
	/* Within one process, too. */
	FAILS(set_lock(b, F_OFD_SETLK, F_WRLCK, 5, 10), EAGAIN);
	OK(set_lock(b, F_OFD_SETLK, F_WRLCK, 10, 10));
	FAILS(set_lock(b, F_SETLK, F_RDLCK, 0, 1), EAGAIN);
	fl = range(F_WRLCK, 0, 1);
	OK(fcntl(b, F_OFD_GETLK, &fl));
	EQ(fl.l_type, F_WRLCK);
	EQ(fl.l_pid, -1);
	if (child_begin() == 0) {
		/* Inherited descriptors share it. */
		OK(set_lock(a, F_OFD_SETLK, F_WRLCK, 0, 10));
		FAILS(set_lock(b, F_OFD_SETLK, F_WRLCK, 0, 10), EAGAIN);
		_exit(0);
	}
	child_wait(__FILE__, __LINE__, -1);
	/* Another descriptor's close leaves it. */
	c = OK(open("f", O_RDWR));
	close(c);
	FAILS(set_lock(b, F_OFD_SETLK, F_WRLCK, 0, 1), EAGAIN);
	close(a);
	OK(set_lock(b, F_OFD_SETLK, F_WRLCK, 0, 1));
	close(b);
}

/* What locks are for: a counter in a file, raised by several processes. */
static void locked_counter_loses_nothing(void)
{
	enum { NR_PROCS = 4, NR_TURNS = 150 };
	pid_t pids[NR_PROCS];
	long value;
	int fd;

	for (int how = 0; how < 2; how++) {
		value = 0;
		MAKE_FILE("f", &value, sizeof(value));
		for (int p = 0; p < NR_PROCS; p++) {
			pids[p] = child_begin();
			if (pids[p])
				continue;
			fd = OK(open("f", O_RDWR));
			for (int i = 0; i < NR_TURNS; i++) {
				OK(how ? set_lock(fd, F_SETLKW, F_WRLCK, 0, 0)
				       : flock(fd, LOCK_EX));
				EQ(pread(fd, &value, sizeof(value), 0), sizeof(value));
				value++;
				EQ(pwrite(fd, &value, sizeof(value), 0), sizeof(value));
				OK(how ? set_lock(fd, F_SETLK, F_UNLCK, 0, 0) : flock(fd, LOCK_UN));
			}
			_exit(0);
		}
		for (int p = 0; p < NR_PROCS; p++)
			child_wait(__FILE__, __LINE__, pids[p]);
		value = NR_PROCS * NR_TURNS;
		FILE_IS("f", &value, sizeof(value));
	}
}

POSIX_MAIN(CHECK_ENTRY(flock_excludes_other_descriptions),
	   CHECK_ENTRY(waiters_get_the_lock_when_its_holder_ends),
	   CHECK_ENTRY(killed_holder_frees_its_locks),
	   CHECK_ENTRY(record_locks_are_by_range_and_process), CHECK_ENTRY(deadlock_is_noticed),
	   CHECK_ENTRY(waiting_can_be_interrupted),
	   CHECK_ENTRY(description_locks_belong_to_the_description),
	   CHECK_ENTRY(locked_counter_loses_nothing))

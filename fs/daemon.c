/* Going to the background. Until it is ready the child belongs to the caller's session and terminal, so that its errors
 * are seen and ^C ends it. */
#include "fs/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "conf/base.h"
#include "conf/log.h"

#define EXIT_MOUNT 32 /* mount(8)'s */

static int wait_child(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return EXIT_MOUNT;
	}
	if (WIFEXITED(status))
		return WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_MOUNT;
	log_error("the daemon was killed while it started (%s)", strsignal(WTERMSIG(status)));
	return EXIT_MOUNT;
}

/* The child's word, or its end. */
static _Noreturn void daemon_parent(int fd, pid_t pid)
{
	ssize_t n;
	char c;

	do
		n = read(fd, &c, 1);
	while (n < 0 && errno == EINTR);
	_exit(n == 1 ? 0 : wait_child(pid));
}

int daemon_start(void)
{
	int fd[2];
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC))
		return -errno;
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		int err = -errno;

		close(fd[0]);
		close(fd[1]);
		return err;
	}
	if (pid > 0) {
		close(fd[1]);
		daemon_parent(fd[0], pid);
	}
	close(fd[0]);
	return fd[1];
}

void daemon_ready(int fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	log_to_syslog("matfs");
	setsid();
	if (chdir("/"))
		log_warn("cannot leave the current directory: %s", strerror(errno));
	for (int i = 0; i < 3 && null >= 0; i++)
		dup2(null, i);
	if (null > 2)
		close(null);
	/* Nobody is left to tell should this fail. */
	if (write(fd, "", 1) != 1)
		log_warn("the process that started this one is gone");
	close(fd);
}

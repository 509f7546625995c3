/* A payload for tests: small, static, and exact about signals.
 *
 *   stamp run           print "ready" and wait; SIGTERM: exit 0 at once
 *   stamp exit N        exit N
 *   stamp ignore        print "ready" and wait; SIGTERM is ignored
 *   stamp code N        print "ready" and wait; SIGTERM: exit N
 *   stamp lines N LEN   write N lines of LEN bytes, newline included: "%08d xxxx\n", in writes of up to 64 kB
 *   stamp crash         write to address 0: SIGSEGV, which even an init cannot ignore
 *   stamp hups          print "ready", then "HUP i" and "USR1 i" with a count for each such signal; SIGTERM: exit 0
 *   stamp hups FILE     the same, into FILE
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void put(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);
		if (n < 0)
			_exit(74);
		data += n;
		len -= (size_t)n;
	}
}

static void say(int fd, const char *text)
{
	put(fd, text, strlen(text));
}

/* Signals are blocked before "ready" is printed, so none that is sent after it can be lost. */
static int wait_for_term(int fd, int count_signals, int on_term)
{
	int hups = 0, usr1s = 0;
	char line[32];
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	if (count_signals) {
		sigaddset(&set, SIGHUP);
		sigaddset(&set, SIGUSR1);
	}
	sigprocmask(SIG_BLOCK, &set, NULL);
	say(fd, "ready\n");
	for (;;) {
		switch (sigwaitinfo(&set, NULL)) {
		case SIGTERM:
			if (on_term >= 0)
				return on_term;
			break;
		case SIGHUP:
			snprintf(line, sizeof line, "HUP %d\n", ++hups);
			say(fd, line);
			break;
		case SIGUSR1:
			snprintf(line, sizeof line, "USR1 %d\n", ++usr1s);
			say(fd, line);
			break;
		}
	}
}

static void number(char *eight, long n)
{
	for (int i = 7; i >= 0; i--, n /= 10)
		eight[i] = (char)('0' + n % 10);
}

static int lines(long count, long len)
{
	static char buf[65536];
	size_t used = 0;

	if (len < 10 || (size_t)len > sizeof buf || count < 0 || count > 100000000)
		return 64;
	for (long i = 0; i < count; i++) {
		if (used + (size_t)len > sizeof buf) {
			put(1, buf, used);
			used = 0;
		}
		number(buf + used, i);
		buf[used + 8] = ' ';
		memset(buf + used + 9, 'x', (size_t)len - 10);
		buf[used + (size_t)len - 1] = '\n';
		used += (size_t)len;
	}
	put(1, buf, used);
	return 0;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	long n = argc > 2 ? atol(argv[2]) : 0;

	if (!strcmp(mode, "run"))
		return wait_for_term(1, 0, 0);
	if (!strcmp(mode, "ignore"))
		return wait_for_term(1, 0, -1);
	if (!strcmp(mode, "exit") && argc == 3)
		return (int)n;
	if (!strcmp(mode, "code") && argc == 3)
		return wait_for_term(1, 0, (int)n);
	if (!strcmp(mode, "crash"))
		*(volatile int *)0 = 1;
	if (!strcmp(mode, "lines") && argc == 4)
		return lines(n, atol(argv[3]));
	if (!strcmp(mode, "hups")) {
		int fd = argc > 2 ? open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : 1;
		return fd < 0 ? 73 : wait_for_term(fd, 1, 0);
	}
	say(2, "stamp: unknown mode\n");
	return 64;
}

/*
 * The first process of every pod: it keeps the pod's namespaces open while containers come and go.
 *
 * Where containers share its process namespace it is their init and reaps orphans. It exits at once on SIGTERM
 * and SIGINT, for which the first process of a namespace has no default action.
 */
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int number)
{
    (void)number;
    _exit(0);
}

static void reap(int number)
{
    (void)number;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

int main(void)
{
    const struct sigaction ending = {.sa_handler = end};
    const struct sigaction reaping = {.sa_handler = reap, .sa_flags = SA_NOCLDSTOP};

    if (sigaction(SIGTERM, &ending, NULL) < 0 || sigaction(SIGINT, &ending, NULL) < 0 ||
        sigaction(SIGCHLD, &reaping, NULL) < 0)
        return 1;
    for (;;)
        pause();
}

// Looks names and addresses up as programs do; built with musl, whose resolver is its own. One line an answer.
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int count, char **asked) {
    for (int i = 1; i < count; i++) {
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *all;
        // An address is asked for its name, a name for its addresses.
        int flags = getaddrinfo(asked[i], 0, &hints, &all) == 0 ? NI_NAMEREQD : NI_NUMERICHOST;
        hints.ai_flags = 0;
        int error = getaddrinfo(asked[i], 0, &hints, &all);
        if (error) {
            printf("%s: %s\n", asked[i], gai_strerror(error));
            continue;
        }
        for (; all; all = all->ai_next) {
            char text[NI_MAXHOST];
            error = getnameinfo(all->ai_addr, all->ai_addrlen, text, sizeof text, 0, 0, flags);
            printf("%s: %s\n", asked[i], error ? gai_strerror(error) : text);
        }
    }
}

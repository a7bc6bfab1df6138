/* Asks the agent beside a PBX for a seat, or gives one back, over its Unix socket.
 *
 *     cc -Wall -Wextra -O2 seat.c -o seat $(curl-config --libs)
 *     ./seat /run/license-agent/socket get 4711      exit code 0: 4711 may register
 *     ./seat /run/license-agent/socket return 4711
 *
 * Exit codes: 0 granted or returned, 1 refused by the license rules, 2 nobody can say now (ask again after the seconds
 * that are printed), 3 a wrong call. What a PBX does at 2 is its own policy: phones that are registered go on.
 *
 * EMERGENCY RULE: never ask for a call. Ask when a phone registers.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

enum { GRANTED = 0, REFUSED = 1, LATER = 2, WRONG = 3 };

struct answer {
    char body[65536];
    size_t length;
};

static size_t keep(char *data, size_t size, size_t count, void *into) {
    struct answer *answer = into;
    size_t bytes = size * count, room = sizeof answer->body - 1 - answer->length;
    size_t kept = bytes < room ? bytes : room;

    memcpy(answer->body + answer->length, data, kept);
    answer->length += kept;
    answer->body[answer->length] = '\0';
    return bytes; /* what does not fit is not needed */
}

/* The value of the first "name":"..." of a JSON object, as it stands there; a real PBX uses its JSON library. */
static const char *text_of(const struct answer *answer, const char *name, char *value, size_t size) {
    char key[64];
    size_t length = 0;

    snprintf(key, sizeof key, "\"%s\":\"", name);
    const char *at = strstr(answer->body, key);
    if (at != NULL)
        for (at += strlen(key); *at != '\0' && *at != '"' && length + 1 < size; at++)
            value[length++] = *at;
    value[length] = '\0';
    return value;
}

int main(int count, char **arguments) {
    if (count != 4 || (strcmp(arguments[2], "get") != 0 && strcmp(arguments[2], "return") != 0)) {
        fprintf(stderr, "usage: %s SOCKET get|return USER\n", arguments[0]);
        return WRONG;
    }
    static struct answer answer;
    char url[1024], value[512];
    long status = 0;
    curl_off_t wait_seconds = 0;
    int code = LATER;

    curl_global_init(CURL_GLOBAL_DEFAULT);
    CURL *curl = curl_easy_init(); /* one for each thread, kept: its connection is used again */
    if (curl == NULL)
        return LATER;
    char *holder = curl_easy_escape(curl, arguments[3], 0); /* names may hold anything, "/" too */
    snprintf(url, sizeof url, "http://agent/v1/seats/port/user/%s", holder != NULL ? holder : "");
    curl_free(holder);
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, arguments[1]);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, strcmp(arguments[2], "get") == 0 ? "PUT" : "DELETE");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 15000L); /* more than the agent's give_up_after_seconds */
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);

    CURLcode failed = curl_easy_perform(curl);
    if (failed != CURLE_OK) { /* the agent is away */
        fprintf(stderr, "the agent does not answer: %s\n", curl_easy_strerror(failed));
    } else {
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &wait_seconds);
        if (status == 200) {
            printf("%s\n", strcmp(arguments[2], "get") == 0 ? "granted" : "returned");
            code = GRANTED;
        } else {
            printf("%ld %s: %s\n", status, text_of(&answer, "reason", value, sizeof value / 8),
                   text_of(&answer, "detail", value + sizeof value / 8, sizeof value - sizeof value / 8));
            if (status == 503)
                printf("ask again in %ld seconds\n", (long)wait_seconds);
            code = status == 503 ? LATER : status == 422 ? WRONG : REFUSED;
        }
    }
    curl_easy_cleanup(curl);
    curl_global_cleanup();
    return code;
}

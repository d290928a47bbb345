/* A load generator for two-step RADIUS logins: the one of bench/load.py in C, because it shares the cores with the server.

   Arguments: a file of users (name,password,secret in hexadecimal: one a line), the shared secret of the NAS, how many sockets.
   Each line on standard input, `run PORT SESSIONS MILLISECONDS LOGINS MODE`, is a slice; its result is a line of JSON on standard
   output. What was used of the users' codes is remembered from slice to slice. LOGINS below 0: as many as there is time for. MODE:
     once     a code is sent once: that of the present step or of the next one, both of which a server with a window of one takes
     present  a code is sent once, and is always the present one: for a server without a window
     again    the present code as often as the user's turn comes: for a server that takes a code again
   A session logs one user in (password, challenge, code, accept) and goes on with the next. A user always comes from the same port, so
   that of several workers behind one address always the same one has him; both authenticators of every reply are checked. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_SESSIONS = 4096, MAX_SOCKETS = 256, MAX_PACKET = 4096, MAX_FIELD = 64, BATCH = 16, TRIES = 4, PERIOD_S = 30 };
enum { ACCESS_REQUEST = 1, ACCESS_ACCEPT = 2, ACCESS_CHALLENGE = 11 };
enum { USER_NAME = 1, USER_PASSWORD = 2, STATE = 24, NAS_IDENTIFIER = 32, SIGNATURE = 80 };
static const double RESEND_S = 2.0, LOOK_EVERY_S = 0.05;

static void fail(const char *what) {
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

static double now_s(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static double cpu_s(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static uint32_t turned(uint32_t word, unsigned by) { return word << by | word >> (32 - by); }

/* --- MD5 (RFC 1321) and SHA-1 (RFC 3174), over messages whose length is known when they end --------------------------------- */

typedef struct {
    uint32_t state[5];
    uint64_t length;
    uint8_t block[64];
    int is_sha1;
} Hash;

static uint32_t md5_add[64];
static const uint8_t MD5_TURN[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};

/* The table of RFC 1321 is 2^32 |sin i|; the series is exact enough in long double, and spares libm. */
static void fill_md5_table(void) {
    const long double pi = 3.14159265358979323846264338327950288L;
    for (int i = 0; i < 64; i++) {
        long double x = i + 1, term, sum;
        while (x > pi) x -= 2 * pi;
        term = sum = x;
        for (int n = 1; n < 40; n++) {
            term *= -x * x / (2 * n * (2 * n + 1));
            sum += term;
        }
        md5_add[i] = (uint32_t)((sum < 0 ? -sum : sum) * 4294967296.0L);
    }
}

static void md5_block(uint32_t *state, const uint8_t *block) {
    uint32_t word[16], a = state[0], b = state[1], c = state[2], d = state[3];
    memcpy(word, block, 64);
    for (unsigned i = 0; i < 64; i++) {
        uint32_t mixed;
        unsigned at;
        switch (i >> 4) {
        case 0: mixed = (b & c) | (~b & d), at = i; break;
        case 1: mixed = (d & b) | (~d & c), at = (5 * i + 1) & 15; break;
        case 2: mixed = b ^ c ^ d, at = (3 * i + 5) & 15; break;
        default: mixed = c ^ (b | ~d), at = (7 * i) & 15; break;
        }
        mixed += a + md5_add[i] + word[at];
        a = d, d = c, c = b;
        b += turned(mixed, MD5_TURN[i >> 4][i & 3]);
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
}

static void sha1_block(uint32_t *state, const uint8_t *block) {
    uint32_t word[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 16; i++) {
        memcpy(&word[i], block + 4 * i, 4);
        word[i] = ntohl(word[i]);
    }
    for (int i = 16; i < 80; i++) word[i] = turned(word[i - 3] ^ word[i - 8] ^ word[i - 14] ^ word[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t mixed;
        if (i < 20) mixed = ((b & c) | (~b & d)) + 0x5A827999u;
        else if (i < 40) mixed = (b ^ c ^ d) + 0x6ED9EBA1u;
        else if (i < 60) mixed = ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDCu;
        else mixed = (b ^ c ^ d) + 0xCA62C1D6u;
        mixed += turned(a, 5) + e + word[i];
        e = d, d = c, c = turned(b, 30), b = a, a = mixed;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

static Hash begun(int is_sha1) {
    Hash hash = {{0x67452301u, 0xEFCDAB89u, 0x98BADCFEu, 0x10325476u, 0xC3D2E1F0u}, 0, {0}, is_sha1};
    return hash;
}

static void update(Hash *hash, const void *data, size_t size) {
    const uint8_t *from = data;
    while (size > 0) {
        size_t at = hash->length & 63, take = 64 - at < size ? 64 - at : size;
        memcpy(hash->block + at, from, take);
        hash->length += take, from += take, size -= take;
        if ((hash->length & 63) == 0) (hash->is_sha1 ? sha1_block : md5_block)(hash->state, hash->block);
    }
}

static void finish(Hash *hash, uint8_t *digest) {
    uint64_t bits = hash->length * 8;
    uint8_t tail[8];
    for (int i = 0; i < 8; i++) tail[i] = (uint8_t)(bits >> (hash->is_sha1 ? 56 - 8 * i : 8 * i));
    update(hash, "\x80", 1);
    while ((hash->length & 63) != 56) update(hash, "", 1);
    update(hash, tail, 8);
    for (int i = 0; i < (hash->is_sha1 ? 5 : 4); i++) {
        uint32_t word = hash->is_sha1 ? htonl(hash->state[i]) : hash->state[i];
        memcpy(digest + 4 * i, &word, 4);
    }
}

typedef struct {
    Hash inner, outer;
} Hmac;

static Hmac keyed(int is_sha1, const uint8_t *key, size_t size) {
    Hmac made = {begun(is_sha1), begun(is_sha1)};
    uint8_t pad[64];
    if (size > 64) fail("a key of more than 64 octets");
    for (size_t i = 0; i < 64; i++) pad[i] = (i < size ? key[i] : 0) ^ 0x36;
    update(&made.inner, pad, 64);
    for (size_t i = 0; i < 64; i++) pad[i] ^= 0x36 ^ 0x5C;
    update(&made.outer, pad, 64);
    return made;
}

static void finish_hmac(Hmac *hmac, uint8_t *digest) {
    finish(&hmac->inner, digest);
    update(&hmac->outer, digest, hmac->inner.is_sha1 ? 20 : 16);
    finish(&hmac->outer, digest);
}

/* --- users ---------------------------------------------------------------------------------------------------------------------- */

typedef struct {
    char name[MAX_FIELD], password[MAX_FIELD];
    uint8_t key[MAX_FIELD];
    uint8_t name_size, password_size, key_size;
    int64_t last_step;
} User;

static User *users;
static long user_count, next_user;

static void read_users(const char *path) {
    FILE *file = fopen(path, "r");
    char name[MAX_FIELD], password[MAX_FIELD], hex[2 * MAX_FIELD];
    long room = 0;
    if (!file) fail("the users cannot be read");
    while (fscanf(file, " %63[^,],%63[^,],%127[0-9a-f]", name, password, hex) == 3) {
        if (user_count == room) users = realloc(users, (size_t)(room = room ? 2 * room : 1024) * sizeof *users);
        if (!users) fail("no memory");
        User *user = &users[user_count++];
        user->name_size = (uint8_t)strlen(strcpy(user->name, name));
        user->password_size = (uint8_t)strlen(strcpy(user->password, password));
        user->key_size = (uint8_t)(strlen(hex) / 2);
        for (int i = 0; i < user->key_size; i++) sscanf(hex + 2 * i, "%2hhx", &user->key[i]);
        user->last_step = -1;
    }
    fclose(file);
    if (!user_count) fail("no users");
}

static void code_of(const User *user, int64_t step, char *code) {
    uint8_t message[8], digest[20];
    Hmac hmac = keyed(1, user->key, user->key_size);
    for (int i = 0; i < 8; i++) message[i] = (uint8_t)(step >> (56 - 8 * i));
    update(&hmac.inner, message, 8);
    finish_hmac(&hmac, digest);
    const uint8_t *at = digest + (digest[19] & 15);
    uint32_t number = (uint32_t)(at[0] & 127) << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    sprintf(code, "%06u", number % 1000000u);
}

/* --- one slice ------------------------------------------------------------------------------------------------------------------ */

typedef enum { ONCE, PRESENT, AGAIN } Mode;

typedef struct {
    User *user;
    int64_t time_step; /* of the code to send; -1: the present one */
    int step, socket, tries;
    uint8_t packet[MAX_PACKET];
    size_t size;
    double login_began, step_began, resend_at;
} Session;

typedef struct {
    int descriptor;
    uint8_t next;
    Session *waiting[256];
} Port;

typedef struct {
    double *values;
    size_t count, room;
} Times;

static Session sessions[MAX_SESSIONS];
static Port ports[MAX_SOCKETS];
static int port_count, udp_port, epoll_descriptor;
static Times times[3]; /* password step, code step, whole login */
static long logins, in_time, refused, unanswered, resent, bad, left;
static int busy, exhausted;
static double stop_at;
static Mode mode;
static Hmac signature;
static Hash secret_first;
static const char *secret;
static uint64_t dice;

static uint64_t throw_dice(void) {
    uint64_t z = (dice += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static void note(Times *of, double value) {
    if (of->count == of->room) of->values = realloc(of->values, (of->room = of->room ? 2 * of->room : 4096) * sizeof(double));
    if (!of->values) fail("no memory");
    of->values[of->count++] = value;
}

static int64_t present_step(void) { return (int64_t)time(NULL) / PERIOD_S; }

static User *choose(int64_t *time_step) {
    int64_t now = present_step();
    *time_step = -1;
    for (long tried = 0; tried < user_count; tried++) {
        User *user = &users[next_user];
        next_user = (next_user + 1) % user_count;
        if (mode == AGAIN) return user;
        int64_t step = user->last_step + 1 > now ? user->last_step + 1 : now;
        if (step > (mode == ONCE ? now + 1 : now)) continue;
        user->last_step = step;
        if (mode == ONCE) *time_step = step;
        return user;
    }
    return NULL;
}

static uint8_t *attribute(uint8_t *at, uint8_t kind, const void *value, size_t size) {
    at[0] = kind, at[1] = (uint8_t)(size + 2);
    memcpy(at + 2, value, size);
    return at + 2 + size;
}

/* User-Password, RFC 2865 section 5.2. */
static uint8_t *hidden(uint8_t *at, const uint8_t *vector, const char *proof, size_t size) {
    size_t padded = (size + 15) / 16 * 16;
    uint8_t mask[16];
    const uint8_t *before = vector;
    at[0] = USER_PASSWORD, at[1] = (uint8_t)(padded + 2);
    at += 2;
    for (size_t block = 0; block < padded; block += 16, before = at, at += 16) {
        Hash stream = secret_first;
        update(&stream, before, 16);
        finish(&stream, mask);
        for (size_t i = 0; i < 16; i++) at[i] = mask[i] ^ (block + i < size ? (uint8_t)proof[block + i] : 0);
    }
    return at;
}

static void put(Session *session) {
    if (send(ports[session->socket].descriptor, session->packet, session->size, MSG_DONTWAIT) < 0) resent++;
}

static void ask(Session *session, int step, const char *proof, size_t size, const uint8_t *state, size_t state_size, double now) {
    Port *port = &ports[session->socket];
    uint8_t *packet = session->packet, *at = packet + 20, *signed_at;
    uint64_t vector[2] = {throw_dice(), throw_dice()};
    while (port->waiting[port->next]) port->next++;
    packet[0] = ACCESS_REQUEST, packet[1] = port->next;
    memcpy(packet + 4, vector, 16);
    port->waiting[port->next++] = session;
    signed_at = at + 2;
    at = attribute(at, SIGNATURE, (uint8_t[16]){0}, 16);
    at = attribute(at, USER_NAME, session->user->name, session->user->name_size);
    at = hidden(at, packet + 4, proof, size);
    at = attribute(at, NAS_IDENTIFIER, "bench", 5);
    if (state_size) at = attribute(at, STATE, state, state_size);
    session->size = (size_t)(at - packet);
    packet[2] = (uint8_t)(session->size >> 8), packet[3] = (uint8_t)session->size;
    Hmac hmac = signature;
    update(&hmac.inner, packet, session->size);
    finish_hmac(&hmac, signed_at);
    session->step = step, session->tries = 1, session->step_began = now, session->resend_at = now + RESEND_S;
    put(session);
}

static void begin(Session *session, double now) {
    int64_t time_step;
    session->user = NULL;
    if (now >= stop_at || left == 0) return;
    session->user = choose(&time_step);
    if (!session->user) {
        exhausted = 1;
        return;
    }
    if (left > 0) left--;
    busy++;
    session->time_step = time_step, session->login_began = now;
    session->socket = (int)((session->user - users) % port_count);
    ask(session, 1, session->user->password, session->user->password_size, NULL, 0, now);
}

static void end(Session *session, double now) {
    busy--;
    begin(session, now);
}

/* Both authenticators of a reply; where its State is. */
static int authentic(uint8_t *reply, size_t size, const uint8_t *request, uint8_t **state) {
    uint8_t vector[16], expected[16], signature_there[16], *signed_at = NULL;
    if (size < 20 || ((size_t)reply[2] << 8 | reply[3]) != size) return 0;
    memcpy(vector, reply + 4, 16);
    memcpy(reply + 4, request + 4, 16);
    Hash whole = begun(0);
    update(&whole, reply, size);
    update(&whole, secret, strlen(secret));
    finish(&whole, expected);
    if (memcmp(expected, vector, 16) != 0) return 0;
    *state = NULL;
    for (size_t at = 20; at + 2 <= size; at += reply[at + 1]) {
        if (reply[at + 1] < 2 || at + reply[at + 1] > size) return 0;
        if (reply[at] == SIGNATURE && reply[at + 1] == 18) signed_at = reply + at + 2;
        if (reply[at] == STATE) *state = reply + at;
    }
    if (!signed_at) return 0;
    memcpy(signature_there, signed_at, 16);
    memset(signed_at, 0, 16);
    Hmac hmac = signature;
    update(&hmac.inner, reply, size);
    finish_hmac(&hmac, expected);
    return memcmp(expected, signature_there, 16) == 0;
}

static void send_code(Session *session, const uint8_t *state, double now) {
    char code[16];
    int64_t step = session->time_step >= 0 ? session->time_step : present_step();
    if (step > session->user->last_step) session->user->last_step = step;
    code_of(session->user, step, code);
    ask(session, 2, code, 6, state + 2, (size_t)(state[1] - 2), now);
}

static void received(Port *port, uint8_t *reply, size_t size, double now) {
    Session *session = size > 37 ? port->waiting[reply[1]] : NULL;
    uint8_t *state;
    if (!session) return; /* the second reply to a request that was sent again */
    if (!authentic(reply, size, session->packet, &state)) {
        bad++;
        return;
    }
    port->waiting[reply[1]] = NULL;
    note(&times[session->step - 1], now - session->step_began);
    if (reply[0] == ACCESS_CHALLENGE && session->step == 1 && state) {
        send_code(session, state, now);
        return;
    }
    if (reply[0] == ACCESS_ACCEPT && session->step == 2) {
        logins++;
        if (now < stop_at) in_time++;
        note(&times[2], now - session->login_began);
    } else {
        refused++;
    }
    end(session, now);
}

static void drain(Port *port) {
    static uint8_t room[BATCH][MAX_PACKET];
    static struct iovec pieces[BATCH];
    static struct mmsghdr messages[BATCH];
    for (int i = 0; i < BATCH; i++) {
        pieces[i] = (struct iovec){room[i], MAX_PACKET};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &pieces[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(port->descriptor, messages, BATCH, MSG_DONTWAIT, NULL);
    double now = now_s();
    for (int i = 0; i < count; i++) received(port, room[i], messages[i].msg_len, now);
}

static void resend(int count, double now) {
    for (Session *session = sessions; session < sessions + count; session++) {
        if (!session->user || session->resend_at > now) continue;
        if (session->tries == TRIES) {
            ports[session->socket].waiting[session->packet[1]] = NULL;
            unanswered++;
            end(session, now);
            continue;
        }
        session->tries++, resent++, session->resend_at = now + RESEND_S;
        put(session);
    }
}

static void open_ports(int to) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)to), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int room = 1 << 20;
    for (int i = 0; i < port_count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        if (udp_port) close(ports[i].descriptor);
        ports[i].descriptor = socket(AF_INET, SOCK_DGRAM, 0);
        setsockopt(ports[i].descriptor, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
        if (connect(ports[i].descriptor, (struct sockaddr *)&address, sizeof address) != 0) fail("no socket");
        epoll_ctl(epoll_descriptor, EPOLL_CTL_ADD, ports[i].descriptor, &event);
    }
    udp_port = to;
}

static int compare(const void *one, const void *other) {
    double difference = *(const double *)one - *(const double *)other;
    return (difference > 0) - (difference < 0);
}

static void tell_times(const char *name, Times *of) {
    double shares[3] = {0.50, 0.95, 0.99};
    printf(", \"%s\": [", name);
    if (of->count) qsort(of->values, of->count, sizeof(double), compare);
    for (int i = 0; i < 3; i++) {
        size_t at = (size_t)(shares[i] * (double)of->count);
        printf("%s%.4f", i ? ", " : "", of->count ? of->values[at < of->count ? at : of->count - 1] * 1000 : 0.0);
    }
    printf("]");
}

static void slice(int count, double seconds) {
    struct epoll_event events[MAX_SOCKETS];
    double cpu = cpu_s(), began = now_s(), looked = began;
    logins = in_time = refused = unanswered = resent = bad = busy = exhausted = 0;
    for (int i = 0; i < 3; i++) times[i].count = 0;
    stop_at = began + seconds;
    for (int i = 0; i < count; i++) begin(&sessions[i], now_s());
    while (busy) {
        int ready = epoll_wait(epoll_descriptor, events, MAX_SOCKETS, 50);
        for (int i = 0; i < ready; i++) drain(&ports[events[i].data.u32]);
        double now = now_s();
        if (now - looked > LOOK_EVERY_S) resend(count, looked = now);
    }
    double took = now_s() - began, used = cpu_s() - cpu;
    /* What was begun in the slice may end long after it, when a reply was lost: the rate is that of the slice alone. */
    if (took > seconds) took = seconds;
    printf("{\"sessions\": %d, \"seconds\": %.6f, \"logins\": %ld, \"in_time\": %ld", count, took, logins, in_time);
    printf(", \"refused\": %ld, \"unanswered\": %ld", refused, unanswered);
    printf(", \"resent\": %ld, \"bad\": %ld, \"own_cpu_s\": %.6f, \"exhausted\": %s", resent, bad, used, exhausted ? "true" : "false");
    tell_times("first_ms", &times[0]);
    tell_times("second_ms", &times[1]);
    tell_times("login_ms", &times[2]);
    printf("}\n");
    fflush(stdout);
}

int main(int count, char **arguments) {
    char line[256], named[16];
    int to, at_a_time, milliseconds;
    if (count != 4) fail("usage: load USERS SECRET SOCKETS");
    fill_md5_table();
    secret = arguments[2];
    port_count = atoi(arguments[3]);
    if (port_count < 1 || port_count > MAX_SOCKETS) fail("1 to 256 sockets");
    if (getrandom(&dice, sizeof dice, 0) != sizeof dice) fail("no random octets");
    read_users(arguments[1]);
    signature = keyed(0, (const uint8_t *)secret, strlen(secret));
    secret_first = begun(0);
    update(&secret_first, secret, strlen(secret));
    epoll_descriptor = epoll_create1(0);
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "run %d %d %d %ld %15s", &to, &at_a_time, &milliseconds, &left, named) != 5) fail("what is that to mean?");
        if (at_a_time < 1 || at_a_time > MAX_SESSIONS) fail("1 to 4096 sessions");
        mode = strcmp(named, "again") == 0 ? AGAIN : strcmp(named, "present") == 0 ? PRESENT : ONCE;
        if (to != udp_port) open_ports(to);
        slice(at_a_time, milliseconds / 1000.0);
    }
    return 0;
}

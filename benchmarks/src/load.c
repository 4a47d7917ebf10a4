/* load - opens many concurrent chat streams against one server and measures them.
 *
 * Prints one JSON object: TTFB, time to first content token, gaps between content
 * events, overrun (how much later than the schedule the last token came),
 * correctness of every answer byte by byte, aborts with their times.
 * One thread, epoll.  Everything is bounded: -n streams, --timeout seconds.
 */
#include "common.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { F_NDJSON, F_SSE, F_WS };
enum { CS_NEW, CS_CONNECT, CS_HEAD, CS_BODY, CS_DONE };
enum { TE_CLOSE, TE_LEN, TE_CHUNK };

static const char *o_host = "127.0.0.1", *o_path = "/", *o_key = "content", *o_body, *o_hdr[8], *o_label = "", *o_only;
static int o_port = 37100, o_framing = F_SSE, o_conc = 1, o_n = 1, o_tokens = 200, o_delay = 200, o_nhdr, o_rst, o_abort_after, o_idbase, o_slow_bps = 2000, o_ramp = -1, o_stall = -1;
static double o_rate = 50, o_timeout = 60, o_abort_frac = 1, o_slow_frac;

typedef struct stream {
    int fd, st, te, id, slow, abort, ws_up, ok, done;
    long clen; long crem; int cstate;
    uint64_t t_start, t_conn, t_byte, t_first, t_last;
    int events, mismatch;
    size_t off;
    char *wb; size_t wn, wo;
    char *hb; size_t hn; /* head */
    char *lb; size_t ln, lcap;
    char *raw; size_t rn, rcap; /* ws */
} stream;

static char *exp_text; static size_t exp_len;

/* ---- histogram: log-linear, about 3 % resolution, microseconds ---- */
typedef struct { uint64_t b[2048], n, max; double sum; } hist;
static void h_add(hist *h, uint64_t v) {
    int i;
    if (v < 32) i = (int)v;
    else { int m = 63 - __builtin_clzll(v); i = (m - 4) * 32 + (int)((v >> (m - 5)) & 31); }
    if (i > 2047) i = 2047;
    h->b[i]++; h->n++; h->sum += (double)v; if (v > h->max) h->max = v;
}
static double h_q(hist *h, double q) {
    if (!h->n) return -1;
    uint64_t want = (uint64_t)(q * (double)(h->n - 1)) + 1, acc = 0;
    for (int i = 0; i < 2048; i++) { acc += h->b[i];
        if (acc >= want) {
            double r = i < 32 ? i : ((double)(32 + (i & 31)) * (double)(1ull << ((i >> 5) - 1)));
            if (r > (double)h->max) r = (double)h->max;
            return r / 1000.0; } }
    return (double)h->max / 1000.0;
}
static void h_print(const char *k, hist *h) {
    printf("\"%s\":{\"n\":%llu,\"mean\":%.3f,\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f},", k, (unsigned long long)h->n,
           h->n ? h->sum / (double)h->n / 1000.0 : -1, h_q(h, .5), h_q(h, .9), h_q(h, .99), h_q(h, .999), h->n ? (double)h->max / 1000.0 : -1);
}
static hist H_ttfb, H_ttft, H_gap, H_over, H_total;

static int ep; static stream *SS; static int started, finished, okc, mism, incomplete, errs, aborted, open_now, max_open;
static long events_total, reads, lines_total; static unsigned long long bytes_total;
static char err_sample[600];
static uint64_t *abort_t;

static void note_err(const char *what, const char *p, size_t n) {
    errs++;
    if (!err_sample[0]) {
        size_t o = (size_t)snprintf(err_sample, 64, "%s: ", what);
        for (size_t i = 0; i < n && o < 500; i++) { unsigned char c = (unsigned char)p[i]; err_sample[o++] = (c < 32 || c == '"' || c == '\\' || c > 126) ? ' ' : (char)c; }
        err_sample[o] = 0;
    }
}

static void end(stream *s) {
    if (s->st == CS_DONE) return;
    if (o_rst && s->abort && s->events >= o_abort_after) { struct linger l = {1, 0}; setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &l, sizeof l); }
    close(s->fd); s->st = CS_DONE; finished++; open_now--;
    free(s->hb); free(s->lb); free(s->wb); free(s->raw); s->hb = s->lb = s->wb = s->raw = NULL;
}
static void complete(stream *s, uint64_t now) {
    if (s->st == CS_DONE) return;
    if (s->mismatch) mism++;
    else if (s->off != exp_len) { incomplete++; if (!err_sample[0]) snprintf(err_sample, 100, "incomplete: %zu of %zu bytes, %d events", s->off, exp_len, s->events); }
    else okc++;
    if (s->events) {
        h_add(&H_total, (now - s->t_start) / 1000);
        if (o_rate > 0 && o_tokens > 1) {
            double over = (double)(s->t_last - s->t_first) - (double)(o_tokens - 1) * 1e9 / o_rate;
            h_add(&H_over, over > 0 ? (uint64_t)(over / 1000) : 0);
        }
    }
    end(s);
}

static size_t unescape(const char *p, const char *e, char *out) {
    char *o = out;
    while (p < e) {
        if (*p != '\\') { *o++ = *p++; continue; }
        p++;
        switch (*p) {
        case 'n': *o++ = '\n'; p++; break;
        case 't': *o++ = '\t'; p++; break;
        case 'r': *o++ = '\r'; p++; break;
        case 'b': *o++ = '\b'; p++; break;
        case 'f': *o++ = '\f'; p++; break;
        case 'u': {
            unsigned u = 0, v = 0; sscanf(p + 1, "%4x", &u); p += 5;
            if (u >= 0xD800 && u < 0xDC00 && p[0] == '\\' && p[1] == 'u') { sscanf(p + 2, "%4x", &v); p += 6; u = 0x10000 + ((u - 0xD800) << 10) + (v - 0xDC00); }
            if (u < 0x80) *o++ = (char)u;
            else if (u < 0x800) { *o++ = (char)(0xC0 | u >> 6); *o++ = (char)(0x80 | (u & 63)); }
            else if (u < 0x10000) { *o++ = (char)(0xE0 | u >> 12); *o++ = (char)(0x80 | ((u >> 6) & 63)); *o++ = (char)(0x80 | (u & 63)); }
            else { *o++ = (char)(0xF0 | u >> 18); *o++ = (char)(0x80 | ((u >> 12) & 63)); *o++ = (char)(0x80 | ((u >> 6) & 63)); *o++ = (char)(0x80 | (u & 63)); }
            break; }
        default: *o++ = *p++;
        }
    }
    return (size_t)(o - out);
}

/* one event line; finds the first string value of o_key */
static void line(stream *s, char *p, size_t n, uint64_t now) {
    static char key[64]; static size_t kl;
    static char *tmp; static size_t tcap;
    if (!kl) kl = (size_t)snprintf(key, sizeof key, "\"%s\"", o_key);
    lines_total++;
    if (o_framing == F_SSE) { if (n < 5 || memcmp(p, "data:", 5)) return; }
    if (o_only && !memmem(p, n, o_only, strlen(o_only))) return;
    char *e = p + n, *q = p;
    while ((q = memmem(q, (size_t)(e - q), key, kl))) {
        q += kl;
        char *r = q;
        while (r < e && *r == ' ') r++;
        if (r >= e || *r != ':') continue;
        r++;
        while (r < e && *r == ' ') r++;
        if (r >= e || *r != '"') continue;
        char *b = ++r;
        while (r < e && *r != '"') { if (*r == '\\') r++; r++; }
        if (r == b) return; /* empty: the role chunk */
        if (tcap < (size_t)(r - b) + 8) { tcap = (size_t)(r - b) * 2 + 64; tmp = realloc(tmp, tcap); }
        size_t m = unescape(b, r, tmp);
        if (s->off + m > exp_len || memcmp(exp_text + s->off, tmp, m)) {
            if (!s->mismatch) { s->mismatch = 1; if (!err_sample[0]) { snprintf(err_sample, 60, "mismatch at %zu: ", s->off); size_t L = strlen(err_sample); for (size_t i = 0; i < m && i < 60; i++) { char c = tmp[i]; err_sample[L++] = (c < 32 || c == '"' || c == '\\') ? '?' : c; } err_sample[L] = 0; } }
        }
        s->off += m;
        if (!s->events) { s->t_first = now; h_add(&H_ttft, (now - s->t_start) / 1000); }
        else h_add(&H_gap, (now - s->t_last) / 1000);
        s->t_last = now; s->events++; events_total++;
        return;
    }
}
static void body(stream *s, const char *p, size_t n, uint64_t now) {
    if (s->ln + n + 1 > s->lcap) { s->lcap = (s->ln + n) * 2 + 1024; s->lb = realloc(s->lb, s->lcap); }
    memcpy(s->lb + s->ln, p, n); s->ln += n;
    size_t i = 0; char *nl;
    while ((nl = memchr(s->lb + i, '\n', s->ln - i))) {
        size_t k = (size_t)(nl - s->lb);
        if (k > i) line(s, s->lb + i, k - i, now);
        i = k + 1;
    }
    if (i) { memmove(s->lb, s->lb + i, s->ln - i); s->ln -= i; }
}
/* HTTP/1.1 chunked decoder; returns 1 at the last chunk */
static int chunked(stream *s, const char *p, size_t n, uint64_t now) {
    const char *e = p + n;
    while (p < e) {
        if (s->cstate == 0) { /* size line */
            char c = *p++;
            if (c >= '0' && c <= '9') s->crem = s->crem * 16 + (c - '0');
            else if (c >= 'a' && c <= 'f') s->crem = s->crem * 16 + (c - 'a' + 10);
            else if (c >= 'A' && c <= 'F') s->crem = s->crem * 16 + (c - 'A' + 10);
            else if (c == '\n') { if (s->crem == 0) return 1; s->cstate = 1; }
            else if (c != '\r') s->cstate = 3;
        } else if (s->cstate == 3) { if (*p++ == '\n') { if (s->crem == 0) return 1; s->cstate = 1; } }
        else if (s->cstate == 1) {
            size_t k = (size_t)(e - p); if ((long)k > s->crem) k = (size_t)s->crem;
            body(s, p, k, now); p += k; s->crem -= (long)k;
            if (!s->crem) s->cstate = 2;
        } else { if (*p++ == '\n') { s->cstate = 0; s->crem = 0; } }
    }
    return 0;
}
static int wsframes(stream *s, const char *p, size_t n, uint64_t now) {
    if (s->rn + n + 1 > s->rcap) { s->rcap = (s->rn + n) * 2 + 1024; s->raw = realloc(s->raw, s->rcap); }
    memcpy(s->raw + s->rn, p, n); s->rn += n;
    size_t i = 0; int fin = 0;
    while (s->rn - i >= 2) {
        unsigned char *u = (unsigned char *)s->raw + i; size_t h = 2; uint64_t L = u[1] & 127;
        if (L == 126) { if (s->rn - i < 4) break; L = (uint64_t)u[2] << 8 | u[3]; h = 4; }
        else if (L == 127) { if (s->rn - i < 10) break; L = 0; for (int k = 0; k < 8; k++) L = L << 8 | u[2 + k]; h = 10; }
        if (s->rn - i < h + L) break;
        int op = u[0] & 15;
        if (op == 8) fin = 1;
        else if (op <= 2) { /* a message may carry several lines */
            char *a = (char *)u + h, *z = a + L;
            while (a < z) { char *nl = memchr(a, '\n', (size_t)(z - a)); char *t = nl ? nl : z; if (t > a) line(s, a, (size_t)(t - a), now); a = t + 1; }
        }
        i += h + L;
    }
    if (i) { memmove(s->raw, s->raw + i, s->rn - i); s->rn -= i; }
    return fin || s->off >= exp_len;
}

static int prng(int id) { unsigned x = (unsigned)id * 2654435761u; x ^= x >> 15; x *= 2246822519u; x ^= x >> 13; return (int)(x % 10000); }

static void begin(int idx) {
    stream *s = &SS[idx];
    s->id = o_idbase + idx;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (s->fd < 0) die("socket");
    int one = 1; setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    s->slow = o_slow_frac > 0 && prng(s->id) < (int)(o_slow_frac * 10000);
    s->abort = o_abort_after > 0 && prng(s->id + 77777) < (int)(o_abort_frac * 10000);
    if (s->slow) { int rb = 4096; setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &rb, sizeof rb); }
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o_port)};
    inet_pton(AF_INET, o_host, &a.sin_addr);
    s->t_start = now_ns();
    started++; open_now++; if (open_now > max_open) max_open = open_now;
    if (connect(s->fd, (void *)&a, sizeof a) && errno != EINPROGRESS) { note_err("connect", strerror(errno), strlen(strerror(errno))); s->st = CS_HEAD; end(s); return; }
    s->st = CS_CONNECT;
    struct epoll_event e = {.events = EPOLLOUT | EPOLLIN | EPOLLRDHUP, .data.ptr = s};
    epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &e);
}
static void send_req(stream *s) {
    char ctl[160], stall[32] = ""; if (o_stall >= 0) snprintf(stall, sizeof stall, " stall=%d", o_stall);
    snprintf(ctl, sizeof ctl, "[[fake tokens=%d rate=%g delay=%d id=%d%s]]", o_tokens, o_rate, o_delay, s->id, stall);
    size_t cap = strlen(o_body) * 1 + 4096; char *b = malloc(cap); size_t n = 0;
    for (const char *p = o_body; *p;) { if (!strncmp(p, "{CTL}", 5)) { n += (size_t)sprintf(b + n, "%s", ctl); p += 5; } else b[n++] = *p++; }
    b[n] = 0;
    s->wb = malloc(n + 4096);
    if (o_framing == F_WS) {
        if (!s->ws_up) {
            s->wn = (size_t)sprintf(s->wb, "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: http://%s:%d\r\n", o_path, o_host, o_port, o_host, o_port);
            for (int i = 0; i < o_nhdr; i++) s->wn += (size_t)sprintf(s->wb + s->wn, "%s\r\n", o_hdr[i]);
            s->wn += (size_t)sprintf(s->wb + s->wn, "\r\n");
        } else {
            size_t h = 2; s->wb[0] = (char)0x81;
            if (n < 126) s->wb[1] = (char)(0x80 | n); else { s->wb[1] = (char)(0x80 | 126); s->wb[2] = (char)(n >> 8); s->wb[3] = (char)n; h = 4; }
            memset(s->wb + h, 0, 4); h += 4; memcpy(s->wb + h, b, n); s->wn = h + n; /* mask key 0 */
        }
    } else {
        s->wn = (size_t)sprintf(s->wb, "POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\nAccept: %s\r\nContent-Length: %zu\r\n", o_path, o_host, o_port, o_framing == F_SSE ? "text/event-stream" : "application/x-ndjson", n);
        for (int i = 0; i < o_nhdr; i++) s->wn += (size_t)sprintf(s->wb + s->wn, "%s\r\n", o_hdr[i]);
        s->wn += (size_t)sprintf(s->wb + s->wn, "\r\n");
        memcpy(s->wb + s->wn, b, n); s->wn += n;
    }
    free(b);
    ssize_t w = send(s->fd, s->wb, s->wn, MSG_NOSIGNAL);
    if (w != (ssize_t)s->wn) { note_err("send", "short write", 11); end(s); return; }
    free(s->wb); s->wb = NULL;
}

static void feed(stream *s, const char *p, size_t n, uint64_t now) {
    if (s->st == CS_HEAD) {
        s->hb = realloc(s->hb, s->hn + n + 1); memcpy(s->hb + s->hn, p, n); s->hn += n; s->hb[s->hn] = 0;
        char *he = strstr(s->hb, "\r\n\r\n");
        if (!he) return;
        size_t hl = (size_t)(he - s->hb) + 4;
        int code = atoi(s->hb + 9);
        if (code != 200 && code != 101) { note_err("status", s->hb, s->hn); end(s); return; }
        if (o_framing == F_WS) { s->ws_up = 1; s->st = CS_BODY; send_req(s); if (s->st == CS_DONE) return; }
        else {
            char *q;
            *he = 0;
            if ((q = strcasestr(s->hb, "\r\ntransfer-encoding: chunked"))) s->te = TE_CHUNK;
            else if ((q = strcasestr(s->hb, "\r\ncontent-length:"))) { s->te = TE_LEN; s->clen = atol(q + 17); }
            else s->te = TE_CLOSE;
            s->st = CS_BODY;
        }
        size_t rest = s->hn - hl;
        char *cp = malloc(rest + 1); memcpy(cp, s->hb + hl, rest);
        free(s->hb); s->hb = NULL; s->hn = 0;
        if (rest) feed(s, cp, rest, now);
        free(cp);
        return;
    }
    if (s->st != CS_BODY) return;
    if (!s->t_byte) { s->t_byte = now; h_add(&H_ttfb, (now - s->t_start) / 1000); }
    int fin = 0;
    if (o_framing == F_WS) fin = wsframes(s, p, n, now);
    else if (s->te == TE_CHUNK) fin = chunked(s, p, n, now);
    else { body(s, p, n, now); if (s->te == TE_LEN) { s->clen -= (long)n; fin = s->clen <= 0; } }
    if (s->abort && s->events >= o_abort_after) { abort_t[s->id - o_idbase] = now_ns(); aborted++; end(s); return; }
    if (fin) complete(s, now);
}
static void rd(stream *s, size_t max) {
    static char buf[262144];
    for (;;) {
        size_t want = max && max < sizeof buf ? max : sizeof buf;
        ssize_t r = recv(s->fd, buf, want, 0);
        if (r > 0) {
            reads++; bytes_total += (unsigned long long)r;
            feed(s, buf, (size_t)r, now_ns());
            if (s->st == CS_DONE || max) return;
            if ((size_t)r < want) return;
            continue;
        }
        if (r < 0 && errno == EAGAIN) return;
        if (s->st == CS_BODY && s->te == TE_CLOSE) complete(s, now_ns());
        else { if (s->st == CS_BODY) { if (s->ln) {} incomplete++; if (!err_sample[0]) snprintf(err_sample, 120, "closed early after %d events, %zu of %zu bytes", s->events, s->off, exp_len); end(s); } else { note_err("closed", s->hb ? s->hb : "", s->hn); end(s); } }
        return;
    }
}

static char *slurp(const char *f) {
    FILE *h = fopen(f, "rb"); if (!h) die(f);
    fseek(h, 0, SEEK_END); long n = ftell(h); rewind(h);
    char *b = malloc((size_t)n + 1); if (fread(b, 1, (size_t)n, h) != (size_t)n) die(f); b[n] = 0; fclose(h);
    while (n && (b[n - 1] == '\n' || b[n - 1] == ' ')) b[--n] = 0;
    return b;
}
static const char USAGE[] =
    "usage: load --port P --path /chat --body FILE|-j JSON   ({CTL} in the body becomes the [[fake ...]] control string)\n"
    "  --framing sse|ndjson|ws   --key content     JSON key whose string value is a piece of the answer\n"
    "  --only TEXT   lines without this text are not pieces of the answer (other events)\n"
    "  -c 100 concurrent   -n 100 streams in all   --tokens 200 --rate 50 --delay 200   what fake_llm is asked for\n"
    "  --ramp MS spread of the first starts (default: one token interval)   --timeout S\n"
    "  --abort-after K [--abort-frac 1.0] [--rst]  close after K events     --slow-frac F --slow-bps B  slow readers\n"
    "  --stall K     the model falls silent after K tokens\n"
    "  --header 'K: V'   --id-base N   --label TEXT\n";

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        char *k = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(k, "--rst")) { o_rst = 1; continue; }
        if (!v) { fputs(USAGE, stderr); return 2; }
        i++;
        if (!strcmp(k, "--host")) o_host = v; else if (!strcmp(k, "--port")) o_port = atoi(v);
        else if (!strcmp(k, "--path")) o_path = v; else if (!strcmp(k, "--key")) o_key = v;
        else if (!strcmp(k, "--body")) o_body = slurp(v); else if (!strcmp(k, "-j")) o_body = v;
        else if (!strcmp(k, "--framing")) o_framing = !strcmp(v, "ndjson") ? F_NDJSON : !strcmp(v, "ws") ? F_WS : F_SSE;
        else if (!strcmp(k, "-c")) o_conc = atoi(v); else if (!strcmp(k, "-n")) o_n = atoi(v);
        else if (!strcmp(k, "--tokens")) o_tokens = atoi(v); else if (!strcmp(k, "--rate")) o_rate = atof(v);
        else if (!strcmp(k, "--delay")) o_delay = atoi(v); else if (!strcmp(k, "--timeout")) o_timeout = atof(v);
        else if (!strcmp(k, "--ramp")) o_ramp = atoi(v); else if (!strcmp(k, "--abort-after")) o_abort_after = atoi(v);
        else if (!strcmp(k, "--abort-frac")) o_abort_frac = atof(v); else if (!strcmp(k, "--slow-frac")) o_slow_frac = atof(v);
        else if (!strcmp(k, "--slow-bps")) o_slow_bps = atoi(v); else if (!strcmp(k, "--stall")) o_stall = atoi(v);
        else if (!strcmp(k, "--id-base")) o_idbase = atoi(v);
        else if (!strcmp(k, "--label")) o_label = v; else if (!strcmp(k, "--only")) o_only = v;
        else if (!strcmp(k, "--header")) { if (o_nhdr < 8) o_hdr[o_nhdr++] = v; }
        else { fputs(USAGE, stderr); return 2; }
    }
    if (!o_body) o_body = "{\"model\":\"gpt-4o\",\"stream\":true,\"stream_options\":{\"include_usage\":true},\"messages\":[{\"role\":\"user\",\"content\":\"Hello {CTL}\"}]}";
    if (o_conc > o_n) o_conc = o_n;
    if (o_ramp < 0) o_ramp = o_rate > 0 ? (int)(1000 / o_rate) : 0;
    signal(SIGPIPE, SIG_IGN);
    struct rlimit rl; getrlimit(RLIMIT_NOFILE, &rl); rl.rlim_cur = rl.rlim_max; setrlimit(RLIMIT_NOFILE, &rl);
    exp_text = malloc((size_t)o_tokens * 16 + 1);
    for (int i = 0; i < o_tokens; i++) { size_t n = strlen(WORDS[i % NWORDS]); memcpy(exp_text + exp_len, WORDS[i % NWORDS], n); exp_len += n; }
    SS = calloc((size_t)o_n, sizeof *SS); abort_t = calloc((size_t)o_n, sizeof *abort_t);
    ep = epoll_create1(0);
    uint64_t t0 = now_ns(), slow_next = t0, tend = t0 + (uint64_t)(o_timeout * 1e9);
    struct epoll_event ev[512];
    int first = o_conc;
    while (finished < o_n && now_ns() < tend) {
        uint64_t now = now_ns();
        int budget = 64; /* do not start more than 64 in one turn */
        while (started < o_n && budget--) {
            if (started < first) { if (now < t0 + (uint64_t)((double)started * o_ramp * 1e6 / first)) break; }
            else if (open_now >= o_conc) break;
            begin(started);
        }
        int to = 20;
        if (started < first || budget < 0) to = 1;
        int n = epoll_wait(ep, ev, 512, to);
        for (int i = 0; i < n; i++) {
            stream *s = ev[i].data.ptr;
            if (s->st == CS_DONE) continue;
            if (s->st == CS_CONNECT) {
                int er = 0; socklen_t l = sizeof er; getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &er, &l);
                if (er) { note_err("connect", strerror(er), strlen(strerror(er))); end(s); continue; }
                if (!(ev[i].events & EPOLLOUT)) continue;
                s->t_conn = now_ns(); s->st = CS_HEAD;
                struct epoll_event e = {.events = s->slow ? 0 : EPOLLIN | EPOLLRDHUP, .data.ptr = s};
                epoll_ctl(ep, EPOLL_CTL_MOD, s->fd, &e);
                send_req(s);
                continue;
            }
            if (s->slow && !(ev[i].events & (EPOLLERR | EPOLLHUP))) continue;
            rd(s, 0);
        }
        if (o_slow_frac > 0 && (now = now_ns()) >= slow_next) {
            slow_next = now + 50000000ull;
            size_t q = (size_t)o_slow_bps / 20; if (!q) q = 1;
            for (int i = 0; i < started; i++) if (SS[i].slow && (SS[i].st == CS_HEAD || SS[i].st == CS_BODY)) rd(&SS[i], q);
        }
    }
    double wall = (double)(now_ns() - t0) / 1e9;
    int unfinished = 0, slow_open = 0;
    for (int i = 0; i < o_n; i++) if (SS[i].st != CS_DONE) { if (SS[i].slow) slow_open++; else unfinished++; }
    struct rusage ru; getrusage(RUSAGE_SELF, &ru);
    printf("{\"label\":\"%s\",\"streams\":%d,\"started\":%d,\"ok\":%d,\"mismatch\":%d,\"incomplete\":%d,\"errors\":%d,\"aborted\":%d,\"unfinished\":%d,\"slow_open\":%d,\"max_open\":%d,",
           o_label, o_n, started, okc, mism, incomplete, errs, aborted, unfinished, slow_open, max_open);
    printf("\"tokens_per_stream\":%d,\"rate\":%g,\"events\":%ld,\"lines\":%ld,\"reads\":%ld,\"bytes\":%llu,\"wall\":%.3f,\"load_cpu\":%.3f,", o_tokens, o_rate, events_total, lines_total, reads, bytes_total, wall,
           (double)ru.ru_utime.tv_sec + (double)ru.ru_stime.tv_sec + (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6);
    h_print("ttfb", &H_ttfb); h_print("ttft", &H_ttft); h_print("gap", &H_gap); h_print("overrun", &H_over); h_print("total", &H_total);
    printf("\"error_sample\":\"%s\",\"aborts\":[", err_sample);
    int c = 0; for (int i = 0; i < o_n; i++) if (abort_t[i]) printf("%s[%d,%llu]", c++ ? "," : "", o_idbase + i, (unsigned long long)abort_t[i]);
    printf("]}\n"); fflush(stdout);
    return 0;
}

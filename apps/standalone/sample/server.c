/*
 * The web server of the sample image: one file, no library, so that an image FROM scratch holds nothing else.
 * Serves /index.html from its own root on port 8080 to whatever is asked. A client that sends nothing is dropped after a second.
 * Build: see build.sh. The result is kept in ../src/sample-server.ts.
 */
typedef unsigned long u64;
typedef long i64;

#if defined(__x86_64__)
enum { READ = 0, WRITE = 1, OPEN = 257, CLOSE = 3, SOCKET = 41, ACCEPT = 43, SHUTDOWN = 48, BIND = 49, LISTEN = 50, SETSOCKOPT = 54, EXIT = 60 };
static i64 call(i64 number, i64 a, i64 b, i64 c, i64 d, i64 e) {
  i64 result;
  register i64 r10 __asm__("r10") = d;
  register i64 r8 __asm__("r8") = e;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
enum { READ = 63, WRITE = 64, OPEN = 56, CLOSE = 57, SOCKET = 198, ACCEPT = 202, SHUTDOWN = 210, BIND = 200, LISTEN = 201, SETSOCKOPT = 208, EXIT = 93 };
static i64 call(i64 number, i64 a, i64 b, i64 c, i64 d, i64 e) {
  register i64 x8 __asm__("x8") = number;
  register i64 x0 __asm__("x0") = a;
  register i64 x1 __asm__("x1") = b;
  register i64 x2 __asm__("x2") = c;
  register i64 x3 __asm__("x3") = d;
  register i64 x4 __asm__("x4") = e;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return x0;
}
#endif

static char answer[32768] = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n\r\n";

void _start(void) {
  static char request[2048];
  struct { unsigned short family, port; unsigned address; u64 zero; } address = { 2, 0x901f /* 8080 */, 0, 0 };
  struct { i64 seconds, micros; } second = { 1, 0 };
  int one = 1;
  i64 length = 0, got;
  while (answer[length]) length++;
  i64 file = call(OPEN, -100, (i64) "/index.html", 0, 0, 0);
  if (file < 0) call(EXIT, 2, 0, 0, 0, 0);
  while ((got = call(READ, file, (i64) (answer + length), (i64) sizeof answer - length, 0, 0)) > 0) length += got;
  i64 server = call(SOCKET, 2, 1, 0, 0, 0);
  call(SETSOCKOPT, server, 1, 2, (i64) &one, sizeof one);
  if (call(BIND, server, (i64) &address, sizeof address, 0, 0) < 0 || call(LISTEN, server, 64, 0, 0, 0) < 0) call(EXIT, 3, 0, 0, 0, 0);
  for (;;) {
    i64 client = call(ACCEPT, server, 0, 0, 0, 0);
    if (client < 0) continue;
    call(SETSOCKOPT, client, 1, 20, (i64) &second, sizeof second);
    if (call(READ, client, (i64) request, sizeof request, 0, 0) > 0) call(WRITE, client, (i64) answer, length, 0, 0);
    call(SHUTDOWN, client, 1, 0, 0, 0);
    call(CLOSE, client, 0, 0, 0, 0);
  }
}

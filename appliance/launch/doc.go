// Package launch confines the running process to what a service needs, for
// ever. A service calls [Confine] before it reads anything from outside, so
// that whoever takes it over later is in the same cage.
//
// The process runs as its own user already; the supervisor saw to that. On top
// of this, in this order:
//
//   - limits of the kernel for memory, files and threads; no core dumps, since
//     they hold keys; a heap that aims to stay below a limit;
//   - nobody of the same user may look into its memory;
//   - no capabilities, except CAP_NET_ADMIN for a gateway;
//   - no_new_privs: no program that it could start would have more rights;
//   - Landlock: it sees the files that it is given and no others, whatever their
//     modes are, and offers TCP on the ports that it is given and no others;
//   - seccomp: system calls are refused with EPERM unless they are on a list.
//     Not on it are those that start programs or processes, trace others, mount,
//     load modules, enter namespaces, change clocks, restart the machine. Memory
//     can be made executable by none.
//
// What this does not do: it does not choose whom a service may connect to, and
// does not bound what it writes. UDP ports are free until the kernel can
// restrict them (Landlock 10).
//
// Landlock and seccomp hold for all threads: the Go runtime or the kernel brings
// every thread into the same state before Confine returns. If one step fails,
// Confine returns its error and the process must end.
package launch

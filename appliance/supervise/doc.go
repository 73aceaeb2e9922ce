// Package supervise keeps the processes of a node running: it starts them,
// starts them again when they end, keeps what they say, and stops them in order.
// PID 1 runs a [Supervisor]; the agent commands it through a [Client].
//
// # Restarts
//
// A process that ends is started again after a delay of 100 ms that doubles with
// every end up to 30 s; a run of a minute sets it back. It never gives up: what
// a service waits for may come back at night. But it says so: a service that
// ends again and again has an error that tells how often and how it ended last
// ([node.ServiceStatus]). Only status 125, by which a program says that another
// start cannot help, leaves it down, unless it has [Command.Always].
//
// # Processes
//
// A supervisor waits for every child of its process, also for those that it
// inherits from others, as PID 1 must: a program has at most one, and starts
// processes by no other means while it runs. Each service leads a process group
// of its own, and what is left of the group when it ends is killed.
//
// # Logs
//
// The lines that a process writes to standard output and error are kept in
// files of bounded size ([Logs]).
//
// # Control
//
// The control server speaks JSON over HTTP on a unix socket. It answers nobody
// but the user that it runs as, whatever the mode of the socket is.
package supervise

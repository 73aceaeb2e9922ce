// Package view runs the functions of design documents: map, reduce, filter and
// validate_doc_update, in JavaScript, and the maps of LEAP's own design
// documents in Go.
//
// # Trust
//
// Functions are written by administrators of a database, who are trusted with
// its documents but not with the node: a function may be wrong in any way and
// must neither stop the node nor see anything but its arguments. It has no
// files, network, timers, modules or other documents, and each [Session] is a
// fresh runtime that shares nothing with others.
//
// # Bounds
//
// goja has no limit of memory and cannot be interrupted inside its built-in
// functions, so the bounds of [Limits] are put together:
//
//   - time: the runtime is interrupted when a call has had its time, and when
//     its context ends; a match of a regular expression ends at the same time
//   - heap: while a call runs, the heap of the process is looked at every few
//     milliseconds, and the call is interrupted when it has grown too far
//   - depth: of calls, of values that become JSON, of the source's brackets
//   - size: of the source, of the documents, of what is emitted and returned
//   - built-ins whose result may be far larger than their arguments (repeat,
//     join, replace, JSON.stringify …) are measured before they run, arrays
//     longer than maxElements are not given to built-ins, and what ES5 does
//     not have and what cannot be measured is not there: eval, Function(),
//     typed arrays, BigInt, Proxy, Reflect, Promise
//   - number: of calls that run at once, [Limits.Parallel]
//
// What is not bounded: the heap is that of the process, so a call may be
// interrupted for what others took, and may overshoot by what it takes within
// those milliseconds; a built-in function over large arguments (a sort or a
// search of megabytes of text) ends when it ends. Such a call is given up a
// second after its time: its caller gets [ErrTime], its goroutine keeps its
// place among the parallel ones until the built-in returns.
//
// # Not here
//
// HTTP, the store, and where rows lie. Package view never reads a document by
// itself.
package view

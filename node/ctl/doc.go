// Package ctl is the command tree of a node and the socket behind it. What
// `node ctl ...`, the console and Erlang's rpc:call(Node, ermine_ctl,
// run_command, ...) run is one tree of [Command] values; [Tree.Run] runs one.
//
// # Commands
//
// A command is data: a name and forms. A form is written as users see it, and
// matched by that text: words stand for themselves, <X> is an argument, [<X>] one
// that may be left out. Output goes to a writer as it arises, so that a list of
// 100,000 clients is never in memory as a whole. The words and the layout are
// EMQX's; with --json the same facts come as JSON. A command has succeeded only
// if it returns nil; then, and only then, the exit status is 0.
//
// # The socket
//
// A Unix socket in the data directory, mode 0600, and the peer's user id must be
// the node's or root's. One connection runs one command:
//
//	client → node  length (4 bytes, big endian), JSON {"args": [...], "json": bool}
//	node → client  frames: type (1 byte), length (4 bytes), content
//	               'o' output   'x' the end: exit status (1 byte)
//
// A request is at most 1 MiB, a frame at most 32 KiB. At most 64 connections are
// served at a time; further ones are closed at once. When the client goes away,
// the command's context ends. A client that does not read holds up its own
// command only, and for at most 30 s.
//
// There are no actors here: a command runs on its connection's goroutine and asks
// what it needs through [Env].
package ctl

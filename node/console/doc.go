// Package console is the interactive shell of a node: one command loop, used in
// three places.
//
//	where                              terminal         commands run
//	node console                       TTY              here (Local)
//	node attach, node remote_console   TTY              on the node (Attach)
//	erl -remsh NODE                    Erlang's shell   on the node (package erl)
//
// # Parts
//
// Console is the loop: it reads a line from a Terminal, runs it on a Backend and
// prints what that prints. It knows help, history, live views (any command with
// --watch), and what a Ctrl-C, a Ctrl-D and a lost node mean, but neither what a
// terminal is nor where a command runs. Complete and the words of a line are
// pure functions.
//
// # Processes
//
//	ermine_console  one on each node, from NewService   serves attached consoles
//
// # Protocol, version 1, over the Erlang distribution
//
// An attached console is a process on a hidden node of its own. It calls
// ermine_console:
//
//	{attach, 1, Pid, Info}        call  {ok, #{token, node, version}} | {error, Reason}
//	{complete, Token, Line}       call  {ok, Start, [Word]} | {error, Reason}
//	{run, Token, Id, Args}        cast  begins a command; Id is the console's
//	{read, Token, Id, Bytes}      cast  so much output has been printed
//	{interrupt, Token, Id}        cast  ends a command
//
// and its process, Pid, is sent
//
//	{console, Id, output, Binary}
//	{console, Id, done, Status}
//
// Info is #{user, host, pid}: who sits there, for the audit line in the node's
// log. Terms are append-only: later versions add fields and messages.
//
// # Full, and lost
//
// A command may be outputWindow bytes ahead of what the console has printed;
// then it waits. A console runs maxRunning commands at most, a node serves
// maxConsoles. The service monitors each console, and what it runs ends with it.
package console

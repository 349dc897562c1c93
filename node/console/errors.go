package console

import "errors"

var (
	// ErrInterrupt is returned by Terminal.ReadLine when the user has pressed
	// Ctrl-C: the line is given up.
	ErrInterrupt = errors.New("interrupted")

	// ErrLost is returned by Attach, Eval and Console.Run when the connection to
	// the node, or the node, has gone.
	ErrLost = errors.New("connection lost")

	// ErrRefused is returned by Attach and Eval when the node runs no console or
	// does not take this one.
	ErrRefused = errors.New("node refuses the console")
)

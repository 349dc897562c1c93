package erl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"ergo.services/ergo/gen"

	"ermine/node/dist"
	"ermine/node/dist/etf"
)

// Call is one call of a function by another node.
type Call struct {
	// Caller is the process that called: the subscriber of ermine:subscribe/1.
	// It may be of this node.
	Caller gen.PID
	// GroupLeader is where the function's output would go; zero if nowhere.
	GroupLeader gen.PID

	Module, Function string
	Args             etf.List
}

// Function is a function that Erlang can call. It may block; ctx ends with the
// node's services. What it returns is the term; an error is an exception: an
// *Exception, ErrBadArg, or anything else as an exception of class error.
type Function func(ctx context.Context, c *Call) (any, error)

// Functions are those of a module, by name and arity.
type Functions map[FA]Function

// FA is a function's name and number of arguments.
type FA struct {
	Name  string
	Arity int
}

// Table is what can be called, by module. It does not change once it is used.
type Table map[string]Functions

// Exception is an Erlang exception.
type Exception struct {
	// Class is error, exit or throw.
	Class string
	// Reason is the term.
	Reason any
	// Stack is the stack trace of class error.
	Stack any
}

// Error prints class and reason.
func (e *Exception) Error() string { return e.Class + ": " + etf.FormatLimit(e.Reason, 256) }

var (
	// ErrBadArg is returned by a Function for arguments it does not take; the
	// caller sees error badarg.
	ErrBadArg = errors.New("badarg")

	// ErrRefused is returned by a Function that this node does not do for
	// others; the caller sees error notsup.
	ErrRefused = errors.New("notsup")
)

// Has reports whether the table has a module.
func (t Table) Has(module string) bool { return t[module] != nil }

// Find returns a function, nil if there is none.
func (t Table) Find(module, function string, arity int) Function {
	return t[module][FA{function, arity}]
}

// stack is the stack trace that Erlang shows for a function that was called by
// rpc, as erpc:trim_stack/4 leaves it.
func stack(c *Call) etf.List {
	return etf.List{etf.Tuple{etf.Atom(c.Module), etf.Atom(c.Function), c.Args, etf.List{}}}
}

func raise(c *Call, reason any) *Exception {
	return &Exception{Class: "error", Reason: reason, Stack: stack(c)}
}

// Apply calls a function. The exception is nil if it has returned.
func (t Table) Apply(ctx context.Context, log *slog.Logger, c *Call) (result any, exception *Exception) {
	defer func() {
		if r := recover(); r != nil {
			log.Error("function called by another node panicked", "peer", string(c.Caller.Node),
				"function", c.Module+":"+c.Function, "err", r, "stack", string(debug.Stack()))
			result, exception = nil, raise(c, etf.Tuple{etf.Atom("panic"), fmt.Sprint(r)})
		}
	}()
	f := t.Find(c.Module, c.Function, len(c.Args))
	if f == nil {
		return nil, raise(c, etf.Atom("undef"))
	}
	v, err := f(ctx, c)
	var e *Exception
	switch {
	case err == nil:
		return v, nil
	case errors.As(err, &e):
		return nil, e
	case errors.Is(err, ErrBadArg):
		return nil, raise(c, etf.Atom("badarg"))
	case errors.Is(err, ErrRefused):
		return nil, raise(c, etf.Atom("notsup"))
	default:
		return nil, raise(c, etf.Tuple{etf.Atom("error"), err.Error()})
	}
}

// erpcExit is the exit reason of erpc:execute_call/4, which is the answer.
func erpcExit(tag, result any, e *Exception) etf.Tuple {
	switch {
	case e == nil:
		return etf.Tuple{tag, etf.Atom("return"), result}
	case e.Class == "error":
		return etf.Tuple{tag, etf.Atom("error"), e.Reason, e.Stack}
	default:
		return etf.Tuple{tag, etf.Atom(e.Class), e.Reason}
	}
}

// rpcResult is what rex answers.
func rpcResult(result any, e *Exception) any {
	switch {
	case e == nil:
		return result
	case e.Class == "throw":
		return e.Reason
	case e.Class == "exit":
		return badrpc(e.Reason)
	default:
		return badrpc(etf.Tuple{e.Reason, e.Stack})
	}
}

func badrpc(reason any) etf.Tuple {
	return etf.Tuple{etf.Atom("badrpc"), etf.Tuple{etf.Atom("EXIT"), reason}}
}

// exitReason is the reason of a process that ends with an exception.
func exitReason(e *Exception) error {
	switch e.Class {
	case "exit":
		return dist.Exit(e.Reason)
	case "throw":
		return dist.Exit(etf.Tuple{etf.Tuple{etf.Atom("nocatch"), e.Reason}, e.Stack})
	default:
		return dist.Exit(etf.Tuple{e.Reason, e.Stack})
	}
}

// makeCall puts a Call together from terms; false if they are not a function
// and its arguments.
func makeCall(module, function, args any) (*Call, bool) {
	m, ok1 := module.(etf.Atom)
	f, ok2 := function.(etf.Atom)
	list, ok3 := etf.AsList(args)
	if !ok1 || !ok2 || !ok3 {
		return nil, false
	}
	if list == nil {
		list = etf.List{}
	}
	return &Call{Module: string(m), Function: string(f), Args: list}, true
}

// funCall is the same for fun and arguments, as erlang:apply/2 has them. A local
// fun has its code on the other node: calling it is undef, as on any node
// without its module.
func funCall(fun, args any) (*Call, error) {
	list, ok := etf.AsList(args)
	if !ok {
		return nil, ErrBadArg
	}
	switch f := fun.(type) {
	case etf.Export:
		if int(f.Arity) != len(list) {
			return nil, &Exception{Class: "error", Reason: etf.Tuple{etf.Atom("badarity"), etf.Tuple{f, list}}, Stack: etf.List{}}
		}
		return &Call{Module: string(f.Module), Function: string(f.Function), Args: list}, nil
	case etf.Fun:
		return nil, &Exception{
			Class: "error", Reason: etf.Atom("undef"),
			Stack: etf.List{etf.Tuple{f, list, etf.List{}}},
		}
	default:
		return nil, &Exception{Class: "error", Reason: etf.Tuple{etf.Atom("badfun"), fun}, Stack: etf.List{}}
	}
}

package dist

import (
	"errors"

	"ergo.services/ergo/gen"

	"ermine/node/dist/etf"
)

// corePID is the ID of an ergo node's own pid; no process has it. It stands
// for Go callers that are no processes.
const corePID = 1

// Reason is an exit reason that is not one of ergo's: it holds the term. A
// process that ends by returning one makes its links and monitors see that
// term. It deliberately does not unwrap, since ergo unwraps reasons once.
type Reason struct{ Term any }

// Exit makes an exit reason of a term: one of ergo's errors where there is
// one (normal, shutdown, killed, noproc, noconnection), else a *Reason.
func Exit(term any) error {
	if a, ok := term.(etf.Atom); ok {
		switch a {
		case "normal":
			return gen.TerminateReasonNormal
		case "shutdown":
			return gen.TerminateReasonShutdown
		case "kill", "killed":
			return gen.TerminateReasonKill
		case "noproc":
			return gen.ErrProcessUnknown
		case "noconnection":
			return gen.ErrNoConnection
		}
	}
	return &Reason{Term: term}
}

// Error prints the start of the term.
func (r *Reason) Error() string {
	if a, ok := r.Term.(etf.Atom); ok {
		return string(a)
	}
	return etf.FormatLimit(r.Term, 256)
}

// ExitTerm is the inverse of Exit: the term that Erlang sees for an exit
// reason. Errors that are no reasons of ergo's become {error, <<"text">>}.
func ExitTerm(err error) any {
	var r *Reason
	switch {
	case err == nil, errors.Is(err, gen.TerminateReasonNormal):
		return etf.Atom("normal")
	case errors.As(err, &r):
		return r.Term
	case errors.Is(err, gen.TerminateReasonShutdown):
		return etf.Atom("shutdown")
	case errors.Is(err, gen.TerminateReasonKill):
		return etf.Atom("killed")
	case errors.Is(err, gen.ErrProcessUnknown), errors.Is(err, gen.ErrProcessTerminated),
		errors.Is(err, gen.ErrNameUnknown), errors.Is(err, gen.ErrUnregistered):
		return etf.Atom("noproc")
	case errors.Is(err, gen.ErrNoConnection):
		return etf.Atom("noconnection")
	case errors.Is(err, gen.TerminateReasonPanic):
		return etf.Atom("panic")
	default:
		return etf.Tuple{etf.Atom("error"), err.Error()}
	}
}

// signalTerm is ExitTerm for a signal that somebody sends, where the reason to
// kill a process is kill; killed is what others then see.
func signalTerm(err error) any {
	if errors.Is(err, gen.TerminateReasonKill) {
		return etf.Atom("kill")
	}
	return ExitTerm(err)
}

// PID turns a pid of the wire into ergo's. A pid of an earlier life of this
// node becomes one that no process has.
func (n *Network) PID(p etf.Pid) gen.PID {
	pid := gen.PID{Node: gen.Atom(p.Node), ID: uint64(p.ID) | uint64(p.Serial)<<32, Creation: int64(p.Creation)}
	if p.Node == n.name {
		pid.Creation = 0
		if p.Creation == n.creation {
			pid.Creation = n.core.Creation()
		}
	}
	return pid
}

// Pid turns a pid of ergo's into one for the wire.
func (n *Network) Pid(p gen.PID) etf.Pid {
	if p == (gen.PID{}) {
		return etf.Pid{}
	}
	pid := etf.Pid{Node: etf.Atom(p.Node), ID: uint32(p.ID), Serial: uint32(p.ID >> 32), Creation: uint32(p.Creation)}
	if pid.Node == n.name {
		pid.Creation = n.creation
	}
	return pid
}

// self is the pid of Go callers that are no processes.
func (n *Network) self() etf.Pid {
	return etf.Pid{Node: n.name, ID: corePID, Creation: n.creation}
}

const (
	// callRef marks references that this package made for calls, in the last
	// word: late answers to them are known and dropped.
	callRef = 1 << 31

	refWords = 3
)

// MakeRef makes a reference that no other one of this node's life equals:
// ergo's own repeat after 262,144.
func (n *Network) MakeRef() etf.Ref { return n.makeRef(0) }

func (n *Network) makeRef(mark uint32) etf.Ref {
	c := n.refs.Add(1)
	// The first word has 18 bits, for nodes from before OTP 24.
	return etf.Ref{
		Node: n.name, Creation: n.creation, Len: refWords,
		ID: [5]uint32{uint32(c & (1<<18 - 1)), uint32(c >> 18), mark | uint32(c>>50)},
	}
}

// ownCall reports whether r was made by this package for a call.
func (n *Network) ownCall(r etf.Ref) bool {
	return r.Node == n.name && r.Creation == n.creation && r.Len == refWords && r.ID[2]&callRef != 0
}

// A gen.Ref with one of these bits in its last word stands for the tag of a
// call that came from an Erlang node. They are beyond any deadline that ergo
// keeps in that word.
const (
	wireRef  = 1 << 40 // the reference itself: five words, length and alias bit
	wireAny  = 1 << 41 // any other term: the first word is a key of Conn.tags
	aliasBit = 1 << 36
	lenShift = 32
)

// packRef puts a reference of up to five words into ergo's three.
func packRef(r etf.Ref, alias bool) gen.Ref {
	g := gen.Ref{Node: gen.Atom(r.Node), Creation: int64(r.Creation)}
	g.ID[0] = uint64(r.ID[0]) | uint64(r.ID[1])<<32
	g.ID[1] = uint64(r.ID[2]) | uint64(r.ID[3])<<32
	g.ID[2] = uint64(r.ID[4]) | uint64(r.Len)<<lenShift | wireRef
	if alias {
		g.ID[2] |= aliasBit
	}
	return g
}

// unpackRef is the inverse of packRef.
func unpackRef(g gen.Ref) (r etf.Ref, alias bool) {
	r = etf.Ref{Node: etf.Atom(g.Node), Creation: uint32(g.Creation), Len: uint8(g.ID[2] >> lenShift & 7)}
	r.ID = [5]uint32{uint32(g.ID[0]), uint32(g.ID[0] >> 32), uint32(g.ID[1]), uint32(g.ID[1] >> 32), uint32(g.ID[2])}
	return r, g.ID[2]&aliasBit != 0
}

// wireTerm turns what ergo has types of its own for into terms, at any depth.
func (n *Network) wireTerm(v any) any {
	switch t := v.(type) {
	case gen.Atom:
		return etf.Atom(t)
	case gen.PID:
		return n.Pid(t)
	case gen.ProcessID:
		return etf.Tuple{etf.Atom(t.Name), etf.Atom(t.Node)}
	case gen.Ref:
		return n.wireGenRef(t)
	case gen.Alias:
		return n.wireGenRef(gen.Ref(t))
	case error:
		return ExitTerm(t)
	case etf.Tuple:
		return etf.Tuple(n.wireTerms(t))
	case etf.List:
		return etf.List(n.wireTerms(t))
	case []any:
		return etf.List(n.wireTerms(t))
	case etf.Map:
		m := make(etf.Map, len(t))
		for i, p := range t {
			m[i] = etf.Pair{Key: n.wireTerm(p.Key), Value: n.wireTerm(p.Value)}
		}
		return m
	case []string:
		l := make(etf.List, len(t))
		for i, s := range t {
			l[i] = s
		}
		return l
	default:
		return v
	}
}

func (n *Network) wireTerms(in []any) []any {
	out := make([]any, len(in))
	for i, v := range in {
		out[i] = n.wireTerm(v)
	}
	return out
}

func (n *Network) wireGenRef(g gen.Ref) etf.Ref {
	if g.ID[2]&wireRef != 0 {
		r, _ := unpackRef(g)
		return r
	}
	r := etf.Ref{Node: etf.Atom(g.Node), Creation: uint32(g.Creation), Len: 5}
	if r.Node == n.name {
		r.Creation = n.creation
	}
	r.ID = [5]uint32{uint32(g.ID[0]), uint32(g.ID[0] >> 32), uint32(g.ID[1]), uint32(g.ID[1] >> 32), uint32(g.ID[2])}
	return r
}

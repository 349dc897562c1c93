package handshake

import (
	"fmt"
	"strings"
)

// Config is what a node says of itself and demands of its peers.
type Config struct {
	// Name is the node's own, short@host; only the host part when Flags has
	// FlagNameMe (initiators only).
	Name string

	// Cookie is the secret that both nodes must have. It is never sent, logged
	// or put into an error.
	Cookie string

	// Creation tells this life of the node from others of the same name. It is
	// not 0.
	Creation uint32

	// Flags are the node's capabilities: OwnFlags, or fewer.
	Flags Flags

	// Guard, if set, is shared by all handshakes of a node.
	Guard *Guard

	// WideFrames makes the length before each message four bytes long in place
	// of two, as inet_tls does.
	WideFrames bool
}

// Result is what a successful handshake has found out.
type Result struct {
	// Peer is the peer's full name, and PeerCreation tells its life (0 when an
	// old peer did not say).
	Peer         string
	PeerCreation uint32

	// PeerFlags are the peer's capabilities, Flags those of both nodes.
	PeerFlags, Flags Flags

	// Version is 6, or 5 with a peer from before OTP 23.
	Version int

	// Name and Creation are the node's own; a dynamic name is the one that the
	// acceptor gave.
	Name     string
	Creation uint32

	// Dynamic is set at an acceptor that gave the peer its name.
	Dynamic bool

	// Replaces is set when the peer said that a connection which this node
	// still has to it is dead, or the other way round.
	Replaces bool
}

// Hidden reports whether the peer is not part of the global namespace.
func (r *Result) Hidden() bool { return !r.PeerFlags.Has(FlagPublished) }

func (r *Result) setFlags(own, peer Flags) {
	peer = peer.expand()
	r.PeerFlags = peer
	r.Flags = own & peer
}

// Initiator is the side that connected. It is a pure state machine: send what
// Begin returns, then each answer of Step, until done. It is not safe for
// concurrent use.
type Initiator struct {
	cfg       Config
	peer      string
	challenge uint32
	onAlive   func() bool
	oldName   bool

	expect byte
	res    Result
}

// NewInitiator prepares a handshake with the node that was dialled. challenge
// is fresh and random. onAlive is asked when the peer says that it still has a
// connection to this node: true means that this node has none, so that the new
// one replaces it. With oldName the first message has the form of version 5,
// which only peers from before OTP 23 need.
func NewInitiator(cfg Config, peer string, challenge uint32, oldName bool, onAlive func() bool) *Initiator {
	return &Initiator{
		cfg: cfg, peer: peer, challenge: challenge, oldName: oldName, onAlive: onAlive,
		expect: tagStatus,
		res:    Result{Name: cfg.Name, Creation: cfg.Creation},
	}
}

// Begin returns the first message, send_name.
func (i *Initiator) Begin() []byte {
	return nameMessage{old: i.oldName, flags: i.cfg.Flags, creation: i.cfg.Creation, name: i.cfg.Name}.append(nil)
}

// Step takes one message of the peer. It returns what to send, in order, and
// whether the handshake is complete.
func (i *Initiator) Step(msg []byte) (out [][]byte, done bool, err error) {
	switch i.expect {
	case tagStatus:
		return i.status(msg)
	case tagName:
		return i.challenged(msg)
	default:
		sum, err := parseAck(msg)
		if err != nil {
			return nil, false, err
		}
		if !makeDigest(i.cfg.Cookie, i.challenge).equal(sum) {
			return nil, false, fmt.Errorf("%w: node %s does not have this node's cookie", ErrCookie, i.peer)
		}
		return nil, true, nil
	}
}

func (i *Initiator) status(msg []byte) (out [][]byte, done bool, err error) {
	m, err := parseStatus(msg)
	if err != nil {
		return nil, false, err
	}
	i.expect = tagName
	nameMe := i.cfg.Flags.Has(FlagNameMe)
	switch m.word {
	case statusOK, statusOKSimultaneous:
		if nameMe {
			return nil, false, fmt.Errorf("%w: node %s gave no name", ErrMalformed, i.peer)
		}
		return nil, false, nil
	case statusNok:
		return nil, false, fmt.Errorf("%w: %s", ErrSimultaneous, i.peer)
	case statusNotAllowed:
		return nil, false, fmt.Errorf("%w: by node %s", ErrNotAllowed, i.peer)
	case statusAlive:
		if i.onAlive != nil && i.onAlive() {
			i.res.Replaces = true
			return [][]byte{statusMessage{word: statusTrue}.append(nil)}, false, nil
		}
		return [][]byte{statusMessage{word: statusFalse}.append(nil)}, false, fmt.Errorf("%w: %s", ErrAlive, i.peer)
	case statusNamed:
		if !nameMe {
			return nil, false, fmt.Errorf("%w: node %s gave a name unasked", ErrMalformed, i.peer)
		}
		if err := checkNodeName(m.name); err != nil {
			return nil, false, err
		}
		if _, host, _ := strings.Cut(m.name, "@"); host != i.cfg.Name {
			return nil, false, fmt.Errorf("%w: given %q on host %q", ErrName, m.name, i.cfg.Name)
		}
		i.res.Name, i.res.Creation = m.name, m.creation
		return nil, false, nil
	default:
		return nil, false, fmt.Errorf("%w: status %s from the acceptor", ErrMalformed, m.word)
	}
}

func (i *Initiator) challenged(msg []byte) (out [][]byte, done bool, err error) {
	m, err := parseChallenge(msg)
	if err != nil {
		return nil, false, err
	}
	if m.name != i.peer {
		return nil, false, fmt.Errorf("%w: dialled %s, which says that it is %.64q", ErrName, i.peer, m.name)
	}
	if i.cfg.Guard.outstanding(m.challenge) {
		return nil, false, fmt.Errorf("%w: by node %s", ErrReflected, i.peer)
	}
	i.res.Peer, i.res.PeerCreation = m.name, m.creation
	i.res.setFlags(i.cfg.Flags, m.flags)
	i.res.Version = 6
	if m.old {
		i.res.Version = 5
	}
	if missing := Required &^ i.res.PeerFlags; missing != 0 {
		return nil, false, &FlagsError{Peer: i.peer, Missing: missing}
	}
	if i.oldName && !m.old {
		out = append(out, appendComplement(nil, i.cfg.Flags, i.cfg.Creation))
	}
	i.expect = tagAck
	return append(out, appendReply(nil, i.challenge, makeDigest(i.cfg.Cookie, m.challenge))), false, nil
}

// Result is what was found out, complete once Step has said so.
func (i *Initiator) Result() *Result { return &i.res }

// Hello is what an acceptor knows of a peer before the peer has proved
// anything.
type Hello struct {
	// Name is the peer's claimed name, or the one it is about to be given.
	Name string

	// Creation is 0 when the peer has not said it yet.
	Creation uint32

	// Flags are the peer's capabilities, Version the form of its message.
	Flags   Flags
	Version int

	// Dynamic peers asked for a name.
	Dynamic bool
}

// Verdict is the acceptor's answer to a Hello.
type Verdict int

const (
	// VerdictOK lets the handshake go on.
	VerdictOK Verdict = iota

	// VerdictSimultaneous lets it go on in place of this node's own attempt to
	// reach the peer, which ends: the peer's name is the greater one.
	VerdictSimultaneous

	// VerdictNok ends it in favour of this node's own attempt: this node's name
	// is the greater one.
	VerdictNok

	// VerdictAlive asks the peer whether the connection that this node has to
	// it is dead.
	VerdictAlive

	// VerdictNotAllowed refuses the peer.
	VerdictNotAllowed
)

// Acceptor is the side that was connected to: a pure state machine like
// Initiator. It waits for the first message. It is not safe for concurrent use.
type Acceptor struct {
	cfg       Config
	challenge uint32
	decide    func(Hello) Verdict
	newName   func(host string) (name string, creation uint32)

	expect byte
	old    bool
	peer   Flags
	res    Result
}

// NewAcceptor prepares the acceptor's side. challenge is fresh and random.
// decide is asked once, when the peer's name is known. newName gives names to
// peers that ask for one; nil refuses them.
func NewAcceptor(cfg Config, challenge uint32, decide func(Hello) Verdict, newName func(host string) (string, uint32)) *Acceptor {
	return &Acceptor{
		cfg: cfg, challenge: challenge, decide: decide, newName: newName,
		expect: tagName,
		res:    Result{Name: cfg.Name, Creation: cfg.Creation, Version: 6},
	}
}

// Step takes one message of the peer. It returns what to send, in order, also
// beside an error, and whether the handshake is complete.
func (a *Acceptor) Step(msg []byte) (out [][]byte, done bool, err error) {
	switch a.expect {
	case tagName:
		return a.named(msg)
	case tagStatus:
		m, err := parseStatus(msg)
		if err != nil {
			return nil, false, err
		}
		if m.word != statusTrue {
			return nil, false, fmt.Errorf("%w: %s", ErrAlive, a.res.Peer)
		}
		a.res.Replaces = true
		return [][]byte{a.sendChallenge()}, false, nil
	case tagComplement:
		high, creation, err := parseComplement(msg)
		if err != nil {
			return nil, false, err
		}
		a.peer |= high
		a.res.PeerCreation = creation
		a.res.setFlags(a.cfg.Flags, a.peer)
		a.expect = tagReply
		return nil, false, nil
	default:
		return a.replied(msg)
	}
}

func (a *Acceptor) named(msg []byte) (out [][]byte, done bool, err error) {
	m, err := parseName(msg)
	if err != nil {
		return nil, false, err
	}
	refuse := [][]byte{statusMessage{word: statusNotAllowed}.append(nil)}
	hello := Hello{Name: m.name, Creation: m.creation, Flags: m.flags.expand(), Version: 6}
	if m.old {
		hello.Version = 5
	}
	status := statusMessage{word: statusOK}
	if m.flags.Has(FlagNameMe) {
		if err := checkHost(m.name); err != nil {
			return refuse, false, err
		}
		if a.newName == nil {
			return refuse, false, fmt.Errorf("%w: a node on %s asked for a name", ErrNotAllowed, m.name)
		}
		status.name, status.creation = a.newName(m.name)
		status.word = statusNamed
		hello.Name, hello.Creation, hello.Dynamic = status.name, status.creation, true
	}
	if err := checkNodeName(hello.Name); err != nil {
		return refuse, false, err
	}
	if missing := Required &^ hello.Flags; missing != 0 {
		return refuse, false, &FlagsError{Peer: hello.Name, Missing: missing}
	}
	if hello.Name == a.cfg.Name {
		return refuse, false, fmt.Errorf("%w: a peer has this node's own name", ErrName)
	}
	a.old, a.peer = m.old, m.flags
	a.res.Peer, a.res.PeerCreation, a.res.Dynamic = hello.Name, hello.Creation, hello.Dynamic
	a.res.setFlags(a.cfg.Flags, m.flags)
	a.res.Version = hello.Version
	if m.flags.Has(FlagHandshake23) {
		a.res.Version = 6
	}
	verdict := VerdictOK
	if a.decide != nil {
		verdict = a.decide(hello)
	}
	switch verdict {
	case VerdictOK:
	case VerdictSimultaneous:
		if status.word == statusOK {
			status.word = statusOKSimultaneous
		}
	case VerdictNok:
		return [][]byte{statusMessage{word: statusNok}.append(nil)}, false, fmt.Errorf("%w: %s gives way", ErrSimultaneous, hello.Name)
	case VerdictAlive:
		a.expect = tagStatus
		return [][]byte{statusMessage{word: statusAlive}.append(nil)}, false, nil
	default:
		return refuse, false, fmt.Errorf("%w: node %s", ErrNotAllowed, hello.Name)
	}
	return [][]byte{status.append(nil), a.sendChallenge()}, false, nil
}

// sendChallenge renders the challenge in the form that the peer can read and
// sets what has to come next.
func (a *Acceptor) sendChallenge() []byte {
	// A peer that sent the old form but knows the new one is answered in the
	// new one, and then sends the complement.
	oldPeer := a.old && !a.peer.Has(FlagHandshake23)
	a.expect = tagReply
	if a.old && !oldPeer {
		a.expect = tagComplement
	}
	// A peer that was given its name wants to see the flag of its request.
	flags := a.cfg.Flags | a.peer&FlagNameMe
	return challengeMessage{
		old: oldPeer, flags: flags, challenge: a.challenge,
		creation: a.cfg.Creation, name: a.cfg.Name,
	}.append(nil)
}

func (a *Acceptor) replied(msg []byte) (out [][]byte, done bool, err error) {
	challenge, sum, err := parseReply(msg)
	if err != nil {
		return nil, false, err
	}
	if !makeDigest(a.cfg.Cookie, a.challenge).equal(sum) {
		return nil, false, fmt.Errorf("%w: node %s does not have this node's cookie", ErrCookie, a.res.Peer)
	}
	return [][]byte{appendAck(nil, makeDigest(a.cfg.Cookie, challenge))}, true, nil
}

// Result is what was found out, complete once Step has said so. Before that
// only Peer may be relied on, as a claim.
func (a *Acceptor) Result() *Result { return &a.res }

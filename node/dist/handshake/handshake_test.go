package handshake

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func config(name string) Config {
	return Config{Name: name, Cookie: "secret", Creation: 7, Flags: OwnFlags(false)}
}

// outcome is what both sides of a handshake found.
type outcome struct {
	a, b       *Result
	aErr, bErr error
}

// meet runs a handshake over a pipe in a bubble, whose clock is fake.
func meet(t *testing.T, a, b Config, so StartOptions, ao AcceptOptions) outcome {
	t.Helper()
	var o outcome
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		left, right := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			if o.b, o.bErr = Accept(ctx, right, b, ao); o.bErr != nil {
				_ = right.Close()
			}
		}()
		if o.a, o.aErr = Start(ctx, left, a, b.Name, so); o.aErr != nil {
			_ = left.Close()
		}
		<-done
	})
	return o
}

func TestHandshakeVersions(t *testing.T) {
	old := func(c Config) Config {
		// What a node from before OTP 23 has.
		c.Flags = Required | FlagDistHdrAtomCache
		return c
	}
	tests := []struct {
		name         string
		a, b         Config
		oldName      bool
		version      int
		aSees, bSees uint32 // the peer's creation
	}{
		{"6 to 6", config("a@h"), config("b@h"), false, 6, 7, 7},
		{"6 with the old first message", config("a@h"), config("b@h"), true, 6, 7, 7},
		{"6 to 5", config("a@h"), old(config("b@h")), true, 6, 7, 7},
		{"5 to 6", old(config("a@h")), config("b@h"), true, 5, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := meet(t, tt.a, tt.b, StartOptions{OldName: tt.oldName}, AcceptOptions{})
			if o.aErr != nil || o.bErr != nil {
				t.Fatalf("a: %v, b: %v", o.aErr, o.bErr)
			}
			if o.a.Peer != "b@h" || o.b.Peer != "a@h" {
				t.Errorf("names: a sees %q, b sees %q", o.a.Peer, o.b.Peer)
			}
			if o.b.Version != tt.version {
				t.Errorf("version: %d, want %d", o.b.Version, tt.version)
			}
			if o.a.PeerCreation != tt.aSees || o.b.PeerCreation != tt.bSees {
				t.Errorf("creations: a sees %d, b sees %d, want %d, %d", o.a.PeerCreation, o.b.PeerCreation, tt.aSees, tt.bSees)
			}
			want := tt.a.Flags & tt.b.Flags
			if o.a.Flags&0xffffffff != want&0xffffffff || o.b.Flags&0xffffffff != want&0xffffffff {
				t.Errorf("flags: a %#x, b %#x, want %#x", o.a.Flags, o.b.Flags, want)
			}
			if tt.version == 6 && (o.a.Flags != want || o.b.Flags != want) {
				t.Errorf("high flags: a %#x, b %#x, want %#x", o.a.Flags, o.b.Flags, want)
			}
		})
	}
}

func TestWideFrames(t *testing.T) {
	a, b := config("a@h"), config("b@h")
	a.WideFrames, b.WideFrames = true, true
	if o := meet(t, a, b, StartOptions{}, AcceptOptions{}); o.aErr != nil || o.bErr != nil {
		t.Errorf("a: %v, b: %v", o.aErr, o.bErr)
	}
	b.WideFrames = false
	if o := meet(t, a, b, StartOptions{}, AcceptOptions{}); o.aErr == nil || o.bErr == nil {
		t.Errorf("frames of different widths: a: %v, b: %v", o.aErr, o.bErr)
	}
}

func TestHiddenAndVisible(t *testing.T) {
	hidden := config("a@h")
	hidden.Flags = OwnFlags(true)
	o := meet(t, hidden, config("b@h"), StartOptions{}, AcceptOptions{})
	if o.aErr != nil || o.bErr != nil {
		t.Fatalf("a: %v, b: %v", o.aErr, o.bErr)
	}
	if o.a.Hidden() || !o.b.Hidden() {
		t.Errorf("a sees hidden=%t, b sees hidden=%t, want false, true", o.a.Hidden(), o.b.Hidden())
	}
}

func TestMandatoryFlags(t *testing.T) {
	// OTP 27's list, written out by hand: what a node must have to be accepted.
	otp27 := Flags(0x4 | 0x10 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x20000 |
		0x40000 | 0x1000000 | 0x2000000 | 1<<34)
	if own := OwnFlags(true); !own.Has(otp27) {
		t.Errorf("own flags lack %v", (otp27 &^ own).Names())
	}
	lacking := config("a@h")
	lacking.Flags &^= FlagMapTag | FlagBigCreation | FlagMandatory25Digest
	o := meet(t, lacking, config("b@h"), StartOptions{}, AcceptOptions{})
	var flags *FlagsError
	if !errors.As(o.bErr, &flags) || flags.Missing != FlagMapTag|FlagBigCreation {
		t.Errorf("acceptor: %v, want missing MAP_TAG and BIG_CREATION", o.bErr)
	}
	if !errors.Is(o.aErr, ErrNotAllowed) {
		t.Errorf("initiator: %v, want ErrNotAllowed", o.aErr)
	}
	o = meet(t, config("b@h"), Config{Name: "c@h", Cookie: "secret", Creation: 9, Flags: FlagHandshake23}, StartOptions{}, AcceptOptions{})
	if !errors.As(o.aErr, &flags) {
		t.Errorf("initiator: %v, want a FlagsError", o.aErr)
	}
	// The digest flag stands for all of OTP 25's.
	digest := config("a@h")
	digest.Flags = FlagMandatory25Digest
	if o := meet(t, digest, config("b@h"), StartOptions{}, AcceptOptions{}); o.bErr != nil || o.aErr != nil {
		t.Errorf("with MANDATORY_25_DIGEST alone: %v, %v", o.aErr, o.bErr)
	}
}

func TestVerdicts(t *testing.T) {
	tests := []struct {
		verdict    Verdict
		alive      bool
		aErr, bErr error
	}{
		{VerdictOK, false, nil, nil},
		{VerdictSimultaneous, false, nil, nil},
		{VerdictNok, false, ErrSimultaneous, ErrSimultaneous},
		{VerdictNotAllowed, false, ErrNotAllowed, ErrNotAllowed},
		{VerdictAlive, true, nil, nil},
		{VerdictAlive, false, ErrAlive, ErrAlive},
	}
	for _, tt := range tests {
		o := meet(t, config("a@h"), config("b@h"),
			StartOptions{OnAlive: func() bool { return tt.alive }},
			AcceptOptions{Decide: func(h Hello) Verdict {
				if h.Name != "a@h" || h.Creation != 7 || h.Version != 6 || h.Dynamic {
					t.Errorf("Hello = %+v", h)
				}
				return tt.verdict
			}})
		if !errors.Is(o.aErr, tt.aErr) || !errors.Is(o.bErr, tt.bErr) {
			t.Errorf("verdict %d, alive %t: a: %v, b: %v", tt.verdict, tt.alive, o.aErr, o.bErr)
		}
		if tt.aErr == nil {
			want := tt.verdict == VerdictAlive
			if o.a.Replaces != want || o.b.Replaces != want {
				t.Errorf("verdict %d: Replaces = %t, %t, want %t", tt.verdict, o.a.Replaces, o.b.Replaces, want)
			}
		}
	}
}

func TestDynamicName(t *testing.T) {
	a := config("host.example")
	a.Flags |= FlagNameMe
	o := meet(t, a, config("b@h"), StartOptions{}, AcceptOptions{NewName: NewDynamicName})
	if o.aErr != nil || o.bErr != nil {
		t.Fatalf("a: %v, b: %v", o.aErr, o.bErr)
	}
	if !o.b.Dynamic || o.a.Name != o.b.Peer || o.a.Creation != o.b.PeerCreation || !strings.HasSuffix(o.a.Name, "@host.example") {
		t.Errorf("a is %q/%d, b calls it %q/%d", o.a.Name, o.a.Creation, o.b.Peer, o.b.PeerCreation)
	}
	o = meet(t, a, config("b@h"), StartOptions{}, AcceptOptions{})
	if !errors.Is(o.aErr, ErrNotAllowed) || !errors.Is(o.bErr, ErrNotAllowed) {
		t.Errorf("names not given: %v, %v", o.aErr, o.bErr)
	}
	// A name on another host than the own is not taken.
	o = meet(t, a, config("b@h"), StartOptions{}, AcceptOptions{NewName: func(string) (string, uint32) { return "x@elsewhere", 5 }})
	if !errors.Is(o.aErr, ErrName) {
		t.Errorf("name on another host: %v", o.aErr)
	}
}

func TestWrongCookie(t *testing.T) {
	a := config("a@h")
	a.Cookie = "guess"
	o := meet(t, a, config("b@h"), StartOptions{}, AcceptOptions{})
	if !errors.Is(o.aErr, ErrCookie) || !errors.Is(o.bErr, ErrCookie) {
		t.Fatalf("a: %v, b: %v, want ErrCookie on both", o.aErr, o.bErr)
	}
	for _, err := range []error{o.aErr, o.bErr} {
		if strings.Contains(err.Error(), "guess") || strings.Contains(err.Error(), "secret") {
			t.Errorf("error gives a cookie away: %v", err)
		}
	}
	if o.b == nil || o.b.Peer != "a@h" {
		t.Errorf("the refused peer's name is unknown: %+v", o.b)
	}
}

// TestAcceptorWithoutCookie is an acceptor that skips the proof.
func TestAcceptorWithoutCookie(t *testing.T) {
	i := NewInitiator(config("a@h"), "b@h", 1, false, nil)
	step(t, i, statusMessage{word: statusOK}.append(nil))
	step(t, i, challengeMessage{flags: OwnFlags(false), challenge: 2, creation: 3, name: "b@h"}.append(nil))
	if _, _, err := i.Step(appendAck(nil, makeDigest("guess", 1))); !errors.Is(err, ErrCookie) {
		t.Errorf("wrong acknowledgement: %v", err)
	}
}

func step(t *testing.T, m machine, msg []byte) [][]byte {
	t.Helper()
	out, _, err := m.Step(msg)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWrongName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left, right := net.Pipe()
		go func() {
			_, _ = Accept(t.Context(), right, config("c@h"), AcceptOptions{})
			_ = right.Close()
		}()
		_, err := Start(t.Context(), left, config("a@h"), "b@h", StartOptions{})
		_ = left.Close()
		if !errors.Is(err, ErrName) {
			t.Errorf("dialled b, c answered: %v", err)
		}
	})
	same := meet(t, config("b@h"), config("b@h"), StartOptions{}, AcceptOptions{})
	if !errors.Is(same.bErr, ErrName) {
		t.Errorf("peer with the own name: %v", same.bErr)
	}
}

func TestReflectedChallenge(t *testing.T) {
	guard := &Guard{}
	cfg := config("a@h")
	cfg.Guard = guard
	remove := guard.add(42)
	i := NewInitiator(cfg, "b@h", 1, false, nil)
	step(t, i, statusMessage{word: statusOK}.append(nil))
	msg := challengeMessage{flags: OwnFlags(false), challenge: 42, creation: 3, name: "b@h"}.append(nil)
	if _, _, err := i.Step(msg); !errors.Is(err, ErrReflected) {
		t.Errorf("own challenge sent back: %v", err)
	}
	remove()
	if out := step(t, i, msg); len(out) != 1 {
		t.Error("challenge refused although no longer outstanding")
	}
}

func TestChallengesDiffer(t *testing.T) {
	seen := map[uint32]bool{}
	for range 1000 {
		c, err := newChallenge()
		if err != nil {
			t.Fatal(err)
		}
		seen[c] = true
	}
	if len(seen) < 990 {
		t.Errorf("%d of 1000 challenges differ", len(seen))
	}
}

// TestPieces sends every message one byte at a time.
func TestPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left, right := net.Pipe()
		var bErr error
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, bErr = Accept(t.Context(), right, config("b@h"), AcceptOptions{})
		}()
		_, err := Start(t.Context(), dribble{left}, config("a@h"), "b@h", StartOptions{})
		<-done
		if err != nil || bErr != nil {
			t.Errorf("a: %v, b: %v", err, bErr)
		}
	})
}

type dribble struct{ net.Conn }

func (d dribble) Write(b []byte) (int, error) {
	for i := range b {
		time.Sleep(time.Millisecond) // in a bubble: fake time
		if _, err := d.Conn.Write(b[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

func TestDeadlineAndCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		_, right := net.Pipe()
		start := time.Now()
		_, err := Accept(ctx, right, config("b@h"), AcceptOptions{})
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("silent peer: %v", err)
		}
		if took := time.Since(start); took != 7*time.Second {
			t.Errorf("gave up after %s", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("node stops")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		_, right := net.Pipe()
		if _, err := Accept(ctx, right, config("b@h"), AcceptOptions{}); !errors.Is(err, cause) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

// TestNothingBeyond: what follows the handshake stays in the connection.
func TestNothingBeyond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left, right := net.Pipe()
		go func() {
			if _, err := Accept(t.Context(), right, config("b@h"), AcceptOptions{}); err != nil {
				t.Error(err)
			}
			_, _ = right.Write([]byte("next"))
		}()
		if _, err := Start(t.Context(), left, config("a@h"), "b@h", StartOptions{}); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4)
		if _, err := io.ReadFull(left, buf); err != nil || string(buf) != "next" {
			t.Errorf("read %q, %v", buf, err)
		}
	})
}

func TestTooLong(t *testing.T) {
	if _, err := readMessage(bytes.NewReader([]byte{0, 1, 0, 0, 'N'}), true, nil); !errors.Is(err, ErrTooLong) {
		t.Errorf("64 KiB announced in four bytes: %v", err)
	}
	if _, err := readMessage(bytes.NewReader([]byte{0xff, 0xff, 'N'}), false, nil); !errors.Is(err, ErrTooLong) {
		t.Errorf("64 KiB announced: %v", err)
	}
}

// TestGolden holds the messages to bytes put together by hand from the tables
// in "Distribution Protocol".
func TestGolden(t *testing.T) {
	tests := []struct {
		name string
		got  []byte
		want string
	}{
		{
			"send_name", nameMessage{flags: 0x1122334455667788, creation: 9, name: "a@h"}.append(nil),
			"4e 1122334455667788 00000009 0003 614068",
		},
		{
			"old send_name", nameMessage{old: true, flags: 0x55667788, name: "a@h"}.append(nil),
			"6e 0005 55667788 614068",
		},
		{"status", statusMessage{word: statusOKSimultaneous}.append(nil), "73 6f6b5f73696d756c74616e656f7573"},
		{
			"named", statusMessage{word: statusNamed, name: "a@h", creation: 3}.append(nil),
			"73 6e616d65643a 0003 614068 00000003",
		},
		{
			"challenge", challengeMessage{flags: 1, challenge: 2, creation: 3, name: "b"}.append(nil),
			"4e 0000000000000001 00000002 00000003 0001 62",
		},
		{
			"old challenge", challengeMessage{old: true, flags: 1, challenge: 2, name: "b"}.append(nil),
			"6e 0005 00000001 00000002 62",
		},
		{"complement", appendComplement(nil, 0x1122334400000000, 5), "63 11223344 00000005"},
		// md5("secret42") and md5("secret4294967295"), from md5sum.
		{"reply", appendReply(nil, 7, makeDigest("secret", 42)), "72 00000007 " + secret42},
		{"ack", appendAck(nil, makeDigest("secret", 1<<32-1)), "61 " + secretMax},
	}
	for _, tt := range tests {
		if got := hex.EncodeToString(tt.got); got != strings.ReplaceAll(tt.want, " ", "") {
			t.Errorf("%s = %s, want %s", tt.name, got, tt.want)
		}
	}
}

func FuzzMessages(f *testing.F) {
	f.Add(nameMessage{flags: OwnFlags(true), creation: 9, name: "a@h"}.append(nil))
	f.Add(nameMessage{old: true, flags: OwnFlags(true), name: "a@h"}.append(nil))
	f.Add(challengeMessage{flags: OwnFlags(true), challenge: 2, creation: 3, name: "b@h"}.append(nil))
	f.Add(statusMessage{word: statusNamed, name: "a@h", creation: 3}.append(nil))
	f.Add(appendComplement(nil, 1<<33, 5))
	f.Add(appendReply(nil, 7, digest{}))
	f.Add(appendAck(nil, digest{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parseName(b); err == nil {
			if again, err := parseName(m.append(nil)); err != nil || again != m {
				t.Errorf("name %+v, then %+v, %v", m, again, err)
			}
		}
		if m, err := parseChallenge(b); err == nil {
			if again, err := parseChallenge(m.append(nil)); err != nil || again != m {
				t.Errorf("challenge %+v, then %+v, %v", m, again, err)
			}
		}
		if m, err := parseStatus(b); err == nil {
			if again, err := parseStatus(m.append(nil)); err != nil || again != m {
				t.Errorf("status %+v, then %+v, %v", m, again, err)
			}
		}
		_, _, _ = parseComplement(b)
		_, _, _ = parseReply(b)
		_, _ = parseAck(b)
	})
}

// FuzzAcceptor feeds a whole conversation, length by length, to an acceptor:
// without the cookie it must never end well.
func FuzzAcceptor(f *testing.F) {
	var seed []byte
	seed = append(seed, 0, 18)
	seed = append(seed, nameMessage{flags: OwnFlags(true), creation: 9, name: "a@h"}.append(nil)...)
	seed = append(seed, 0, 21)
	seed = append(seed, appendReply(nil, 7, digest{})...)
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		cfg := config("b@h")
		cfg.Cookie = string(make([]byte, 64)) + "not in the corpus"
		a := NewAcceptor(cfg, 0xdeadbeef, func(h Hello) Verdict { return Verdict(h.Creation % 5) }, NewDynamicName)
		i := NewInitiator(cfg, "a@h", 0xdeadbeef, false, nil)
		r := bytes.NewReader(b)
		for {
			msg, err := readMessage(r, false, nil)
			if err != nil {
				return
			}
			_, done, aErr := a.Step(msg)
			_, done2, iErr := i.Step(msg)
			if (done && aErr == nil) || (done2 && iErr == nil) {
				t.Fatal("handshake succeeded without the cookie")
			}
			if aErr != nil && iErr != nil {
				return
			}
		}
	})
}

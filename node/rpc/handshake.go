package rpc

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
)

// exporterLabel names the value of a TLS session that proofs are bound to.
const exporterLabel = "EXPORTER-ermine-rpc"

// cookieKey is the key of both proofs.
func cookieKey(cookie string) [sha256.Size]byte {
	return sha256.Sum256(append([]byte("ermine rpc 1\x00"), cookie...))
}

// prove is the proof of one role over everything said so far.
func prove(key [sha256.Size]byte, role string, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(role))
	for _, p := range parts {
		// No part can be read as the end of the one before.
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(p)))
		mac.Write(n[:])
		mac.Write(p)
	}
	return mac.Sum(nil)
}

const (
	roleDialler  = "dialler"
	roleAcceptor = "acceptor"
)

// binding is what ties a proof to the TLS session: nobody in between can relay
// it into another one. It is empty over TCP.
func binding(conn net.Conn) ([]byte, error) {
	t, ok := conn.(*tls.Conn)
	if !ok {
		return nil, nil
	}
	state := t.ConnectionState()
	b, err := state.ExportKeyingMaterial(exporterLabel, nil, 32)
	if err != nil {
		return nil, fmt.Errorf("bind to tls session: %w", err)
	}
	return b, nil
}

// readPart reads a part of the handshake that starts with magic and its length,
// and returns all of it and what follows the length.
func readPart(r io.Reader, magic string) (all, body []byte, err error) {
	n := len(magic) + 2
	all = make([]byte, n, 512)
	if _, err := io.ReadFull(r, all); err != nil {
		return nil, nil, err
	}
	size := int(binary.BigEndian.Uint16(all[len(magic):]))
	if string(all[:len(magic)]) != magic || size > maxHello {
		return nil, nil, fmt.Errorf("%w: not the data channel of a node", ErrProtocol)
	}
	all = append(all, make([]byte, size)...)
	if _, err := io.ReadFull(r, all[n:]); err != nil {
		return nil, nil, err
	}
	return all, all[n:], nil
}

// identity is what an endpoint says of itself in handshakes.
type identity struct {
	name        string
	incarnation uint64
	key         [sha256.Size]byte
	min, max    uint8
}

// dialHandshake is the dialler's side. h has purpose, lane, stream and target.
// The result is what the acceptor said, after it proved the cookie; its status
// and name are the caller's to judge.
func (id *identity) dialHandshake(conn net.Conn, h hello) (welcome, error) {
	var w welcome
	bind, err := binding(conn)
	if err != nil {
		return w, err
	}
	h.min, h.max, h.name, h.incarnation = id.min, id.max, id.name, id.incarnation
	rand.Read(h.nonce[:])
	said := h.append(nil)
	if _, err := conn.Write(said); err != nil {
		return w, err
	}
	heard, body, err := readPart(conn, challengeMagic)
	if err != nil {
		return w, fmt.Errorf("read challenge: %w", err)
	}
	var c challenge
	if err := c.parse(body); err != nil {
		return w, err
	}
	if _, ok := common(h.min, h.max, c.min, c.max); !ok {
		return w, fmt.Errorf("%w: %d to %d here, %d to %d there", ErrVersion, h.min, h.max, c.min, c.max)
	}
	if _, err := conn.Write(prove(id.key, roleDialler, bind, said, heard)); err != nil {
		return w, err
	}
	_, body, err = readPart(conn, "")
	if err != nil {
		// What a peer with another cookie does: it closes.
		return w, fmt.Errorf("%w: read welcome: %w", ErrAuth, err)
	}
	if len(body) < welcomeFixed {
		return w, fmt.Errorf("%w: welcome of %d bytes", ErrProtocol, len(body))
	}
	if !hmac.Equal(body[:proofLen], prove(id.key, roleAcceptor, bind, said, heard, body[proofLen:])) {
		return w, ErrAuth
	}
	return w, w.parse(body[proofLen:])
}

// opened is a handshake whose dialler has proved the cookie and waits for the
// welcome.
type opened struct {
	id    *identity
	conn  net.Conn
	hello hello
	bind  []byte
	said  []byte // HELLO
	heard []byte // CHALLENGE
}

// acceptHandshake is the acceptor's side up to the proof.
func (id *identity) acceptHandshake(conn net.Conn) (*opened, error) {
	said, body, err := readPart(conn, helloMagic)
	if err != nil {
		return nil, err
	}
	o := &opened{id: id, conn: conn, said: said}
	if err := o.hello.parse(body); err != nil {
		return nil, err
	}
	if o.bind, err = binding(conn); err != nil {
		return nil, err
	}
	c := challenge{min: id.min, max: id.max}
	rand.Read(c.nonce[:])
	o.heard = c.append(nil)
	if _, err := conn.Write(o.heard); err != nil {
		return nil, err
	}
	if _, ok := common(id.min, id.max, o.hello.min, o.hello.max); !ok {
		return nil, fmt.Errorf("%w: %d to %d here, %d to %d there", ErrVersion, id.min, id.max, o.hello.min, o.hello.max)
	}
	var proof [proofLen]byte
	if _, err := io.ReadFull(conn, proof[:]); err != nil {
		return nil, fmt.Errorf("read proof: %w", err)
	}
	if !hmac.Equal(proof[:], prove(id.key, roleDialler, o.bind, o.said, o.heard)) {
		return nil, ErrAuth
	}
	return o, nil
}

// welcome ends the handshake.
func (o *opened) welcome(w welcome) error {
	w.name, w.incarnation = o.id.name, o.id.incarnation
	said := w.append(nil)
	msg := binary.BigEndian.AppendUint16(nil, uint16(proofLen+len(said)))
	msg = append(msg, prove(o.id.key, roleAcceptor, o.bind, o.said, o.heard, said)...)
	_, err := o.conn.Write(append(msg, said...))
	return err
}

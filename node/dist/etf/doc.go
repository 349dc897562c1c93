// Package etf is the Erlang external term format, both ways: what
// term_to_binary/1 makes, what binary_to_term/1 reads, and what two nodes say
// to each other after a distribution header. It follows "External Term Format"
// (erl_ext_dist) of the ERTS documentation, up to OTP 27.
//
// The package is pure: no goroutine, socket or clock, and nothing imported
// beyond the standard library.
//
// # Terms in Go
//
// A term is an any that holds one of these. The first column is what a Decoder
// returns, always of exactly that type; the last lists what else an Encoder
// accepts for it.
//
//	Go type       Erlang                           also accepted by Append
//	Atom          atom, true and false too         bool
//	int64         integer that fits 64 bits        every Go integer type
//	*big.Int      any other integer                big.Int of any size
//	float64       float (never NaN or infinite)    float32
//	[]byte        binary                           string, as its UTF-8 bytes
//	BitString     bit string of n*8+1..7 bits
//	Tuple         tuple
//	List          proper list, List{} is []        []any
//	Charlist      list of integers 0..255          (a STRING_EXT on the wire)
//	ImproperList  [a, b | c]
//	Map           map, pairs in wire order         map[string]any, map[Atom]any
//	Pid, Port, Ref                                 (comparable: usable as map keys)
//	Export        fun M:F/A
//	Fun           any other fun, opaque
//
// Erlang does not tell a string from a list of small integers, and sends both
// as STRING_EXT where it can. Such a list arrives as a Charlist, any other as a
// List; [AsList] turns either into a List, [Text], [AppendCharData] and
// [AppendIOData] read them as text or bytes. Going out, a List of bytes is
// written as Erlang would write it. nil is no term: it is refused.
//
// What is decoded and encoded again is =:= for Erlang: the sign of -0.0 and
// all words of a reference are kept, and old encodings (one byte creations,
// Latin-1 atoms, floats as text) come back in their current form.
//
// # Decoding
//
// [Decode] reads one term, copies what it keeps, and returns something that
// may be kept for ever and shared between goroutines. A [Decoder] adds
// [Limits], the atom cache of a connection, binaries that alias the input, and
// reuse of memory:
//
//   - D1: no length is believed before it is compared with what is left of the
//     input; what is allocated is at most a fixed multiple of the input and
//     stays within Limits.
//   - D2: nesting is bounded by Limits.MaxDepth, so that a term cannot exhaust
//     the stack of whoever decodes, encodes, compares or prints it.
//   - D3: an error is a *DecodeError that holds the offset of the offending
//     byte. Input never makes a Decoder panic.
//   - D4: with DecodeOptions.Reuse, terms live until Reset; see [Decoder.Reset].
//   - D5: a map with two equal keys is refused, as by binary_to_term/1.
//
// # Encoding
//
// [Append] writes the version byte and a term behind dst; an [Encoder] writes
// terms without the version byte, and with references to the atom cache. Both
// only allocate when dst is too small. Equal terms have equal encodings, except
// for maps whose pairs are in another order.
//
// # Distribution headers
//
// On a connection with DFLAG_DIST_HDR_ATOM_CACHE a message is
//
//	header | control term | [message term]
//
// and neither term has a version byte. The receiving side keeps one
// [ReceiveCache] for a connection, calls [Header.Decode] for each packet in the
// order of arrival, and hands Header.Refs to [Decoder.DecodeTerm]. The sending
// side encodes into a [RefTable] of the message, from any goroutine; the one
// goroutine that writes to the connection then calls [SendCache.AppendHeader],
// in the order in which packets leave. Reassembly of fragments belongs to the
// caller: the Refs of a first fragment hold for the whole sequence and do not
// change when later headers update the cache.
//
// # Text and structs
//
// [Format] prints a term in Erlang's syntax on one line, [Parse] and [ParseAll]
// read that syntax; [Marshal] and [Unmarshal] turn Go structs into maps or
// record tuples and back.
package etf

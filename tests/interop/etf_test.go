package interop

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"ermine/node/dist/etf"
)

// etfTerms is how many random terms TestETFRandomTerms exchanges.
const etfTerms = 10_000

// etfGenerator is the Erlang side of TestETFRandomTerms: it makes terms, sends
// each over TCP in external format with its text, and compares what comes back.
//
//	to Go     <<Size:32, Term:Size/binary, Text/binary>>  (Text may be empty)
//	from Go   <<Size:32, Term:Size/binary, Refs/binary>>
//
// Refs is {Atoms, Body}: the term once more as it would follow a distribution
// header that names the tuple Atoms. The first difference ends it with a line
// on its standard output.
const etfGenerator = `
-module(etf_generator).
-export([main/3]).

main(Port, Seed, N) ->
    rand:seed(exsss, Seed),
    {ok, S} = gen_tcp:connect({127,0,0,1}, Port, [binary, {packet, 4}, {active, false}, {nodelay, true}]),
    Local = fixed(),
    lists:foreach(fun(T) -> check(S, T) end, Local),
    loop(S, N - length(Local)),
    gen_tcp:close(S),
    io:format("compared ~w~n", [N]).

loop(_, 0) -> ok;
loop(S, N) -> check(S, term(rand:uniform(6))), loop(S, N - 1).

check(S, T) ->
    B = term_to_binary(T, options()),
    ok = gen_tcp:send(S, [<<(byte_size(B)):32>>, B, text(T)]),
    {ok, <<Size:32, Back:Size/binary, Refs/binary>>} = gen_tcp:recv(S, 0, 60000),
    same(T, binary_to_term(Back), "term"),
    {Atoms, Body} = binary_to_term(Refs),
    same(T, erts_debug:dist_ext_to_term(Atoms, <<131, Body/binary>>), "term with atom cache").

%% =:= does not see the sign of -0.0 before OTP 27; the bytes do.
same(T, Back, What) ->
    case T =:= Back andalso term_to_binary(T) =:= term_to_binary(Back) of
        true -> ok;
        false -> io:format("~s differs:~nsent ~0p~ngot  ~0p~n", [What, T, Back]), halt(1)
    end.

options() ->
    case rand:uniform(8) of
        1 -> [compressed];
        2 -> [{compressed, 9}, {minor_version, 2}];
        3 -> [{minor_version, 1}];
        _ -> [{minor_version, 2}]
    end.

%% The text of a term, where every node would print the same.
text(T) ->
    case portable(T) of
        true -> unicode:characters_to_binary(io_lib:format("~0tp", [T]));
        false -> <<>>
    end.

%% Huge integers are printed in base 16 by us.
portable(T) when is_integer(T) -> abs(T) < 1 bsl 30000;
portable(T) when is_atom(T); is_float(T); is_bitstring(T) -> true;
portable([H | T]) -> portable(H) andalso portable(T);
portable([]) -> true;
portable(T) when is_tuple(T) -> portable(tuple_to_list(T));
portable(T) when is_map(T) -> map_size(T) =< 32 andalso portable(maps:to_list(T));
portable(T) when is_function(T) -> erlang:fun_info(T, type) =:= {type, external};
portable(_) -> false.

%% What a random generator would not hit.
fixed() ->
    [lists:duplicate(65535, 7), lists:duplicate(65536, 7), lists:seq(1, 100000),
     list_to_tuple(lists:seq(1, 70000)), binary:copy(<<"x">>, 1000000), 1 bsl 100000, -(1 bsl 2040),
     maps:from_list([{I, {I}} || I <- lists:seq(1, 5000)]),
     lists:foldl(fun(I, A) -> [A, I] end, [], lists:seq(1, 5000)),
     lists:foldl(fun(I, A) -> {I, A} end, {}, lists:seq(1, 5000)),
     lists:foldl(fun(I, A) -> #{A => I, b => A} end, #{}, lists:seq(1, 12)),
     -0.0, [0.0 | -0.0], erlang:ports(), processes(), nodes(), group_leader(),
     fun erlang:node/0, fun lists:map/2, [list_to_atom("a" ++ integer_to_list(I)) || I <- lists:seq(1, 1000)]].

term(Depth) when Depth =< 0 -> leaf();
term(Depth) ->
    case rand:uniform(14) of
        1 -> list_to_tuple(terms(Depth - 1));
        2 -> terms(Depth - 1);
        3 -> terms(Depth - 1);
        4 -> maps:from_list([{term(Depth - 2), term(Depth - 1)} || _ <- lists:seq(1, rand:uniform(6))]);
        5 -> [term(Depth - 1) | leaf()];
        6 -> list_to_tuple(terms(Depth - 1));
        7 -> closure(term(Depth - 2), rand:uniform(3));
        8 -> case rand:uniform(20) of 1 -> list_to_tuple([leaf() || _ <- lists:seq(1, 300)]); _ -> leaf() end;
        9 -> case rand:uniform(20) of 1 -> maps:from_list([{leaf(), leaf()} || _ <- lists:seq(1, 60)]); _ -> leaf() end;
        10 -> case rand:uniform(20) of 1 -> [leaf() || _ <- lists:seq(1, 300)]; _ -> leaf() end;
        _ -> leaf()
    end.

terms(Depth) -> [term(Depth) || _ <- lists:seq(1, rand:uniform(6) - 1)].

closure(V, 1) -> fun(X) -> {X, V} end;
closure(V, 2) -> fun(X, Y) -> [X, Y | V] end;
closure(V, 3) -> F = closure(V, 1), fun() -> F(V) end.

leaf() ->
    case rand:uniform(20) of
        1 -> atom();
        2 -> atom();
        3 -> rand:uniform(256) - 1;
        4 -> rand:uniform(1 bsl 33) - (1 bsl 32);
        5 -> edge(rand:uniform(130));
        6 -> sign() * rand:uniform(1 bsl (rand:uniform(2500)));
        7 -> float();
        8 -> float();
        9 -> rand:bytes(rand:uniform(40) - 1);
        10 -> unicode:characters_to_binary(string());
        11 -> Bits = rand:uniform(70), <<B:Bits/bitstring, _/bitstring>> = rand:bytes(16), B;
        12 -> string();
        13 -> [rand:uniform(256) - 1 || _ <- lists:seq(1, rand:uniform(20))];
        14 -> [rand:uniform(300) || _ <- lists:seq(1, rand:uniform(20))];
        15 -> make_ref();
        16 -> alias([reply]);
        17 -> foreign();
        18 -> fun lists:map/2;
        19 -> element(rand:uniform(4), {[], {}, #{}, <<>>});
        20 -> element(rand:uniform(3), {self(), group_leader(), hd(erlang:ports())})
    end.

sign() -> element(rand:uniform(2), {1, -1}).

%% Around powers of two, where encodings change.
edge(Bits) -> sign() * (1 bsl Bits) + rand:uniform(3) - 2.

float() ->
    case rand:uniform(4) of
        1 -> <<F:64>> = rand:bytes(8),
             case <<F:64>> of <<X/float>> -> X; _ -> 0.5 end;
        2 -> (rand:uniform(2000001) - 1000001) / 1000;
        3 -> sign() * math:pow(10, rand:uniform(40) - 20) * rand:uniform(100);
        4 -> sign() * float(rand:uniform(100000) - 1)
    end.

string() -> [char(rand:uniform(5)) || _ <- lists:seq(1, rand:uniform(20))].

char(1) -> 31 + rand:uniform(95);
char(2) -> $a + rand:uniform(26) - 1;
char(3) -> rand:uniform(255);
char(4) -> 16#9f + rand:uniform(16#1000);
char(5) -> 16#1f600 + rand:uniform(60).

atom() ->
    case rand:uniform(6) of
        1 -> element(rand:uniform(6), {ok, error, true, false, undefined, 'EXIT'});
        2 -> list_to_atom([char(2) || _ <- lists:seq(1, rand:uniform(3))]);
        3 -> list_to_atom(string());
        4 -> list_to_atom("atom_" ++ integer_to_list(rand:uniform(500)));
        5 -> node();
        6 -> element(rand:uniform(8), {'', 'hello world', 'Up', 'it\'s', 'end', '$gen_call', 'a@b', '_'})
    end.

%% Identifiers of other nodes, in old and new forms.
foreign() ->
    Node = <<100, 11:16, "n1@10.0.0.1">>,
    Id = rand:uniform(1 bsl 15) - 1,
    C = rand:uniform(3),
    binary_to_term(case rand:uniform(6) of
        1 -> <<131, 88, Node/binary, (rand:uniform(1 bsl 28)):32, (rand:uniform(1 bsl 13)):32, (rand:uniform(1 bsl 32) - 1):32>>;
        2 -> <<131, 103, Node/binary, Id:32, 0:32, C>>;
        3 -> <<131, 90, 5:16, Node/binary, C:32, (rand:uniform(1 bsl 18) - 1):32, (rand:bytes(16))/binary>>;
        4 -> <<131, 114, 3:16, Node/binary, C, Id:32, (rand:bytes(8))/binary>>;
        5 -> <<131, 120, Node/binary, (rand:uniform(1 bsl 60)):64, C:32>>;
        6 -> <<131, 102, Node/binary, Id:32, C>>
    end).
`

// TestETFRandomTerms has a real Erlang node make 10,000 terms, decodes each,
// sends it back encoded, plainly and with references to an atom cache, and has
// Erlang compare. It also wants our text of a term to be Erlang's, and that
// text to be read as the same term.
func TestETFRandomTerms(t *testing.T) {
	erl, err := exec.LookPath("erl")
	if err != nil {
		t.Fatalf("erl is needed: %v (make test-deps installs it)", err)
	}
	source := filepath.Join(t.TempDir(), "etf_generator.erl")
	if err := os.WriteFile(source, []byte("%% -*- coding: utf-8 -*-\n"+etfGenerator), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()

	seed := rand.Uint32()
	if s := os.Getenv("ETF_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		seed = uint32(n)
	}
	t.Logf("to run again: ETF_SEED=%d go test -run %s ./tests/interop", seed, t.Name())
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, erl, "-noshell", "-noinput", "+pc", "unicode", "-eval",
		fmt.Sprintf(`{ok, M, B} = compile:file(%q, [binary, report]), {module, M} = code:load_binary(M, "etf_generator", B), `+
			`M:main(%d, %d, %d), halt(0).`, source, listener.Addr().(*net.TCPAddr).Port, seed, etfTerms))
	cmd.Env = append(os.Environ(), "ERL_CRASH_DUMP_BYTES=0")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() {
		exited <- cmd.Wait()
		listener.Close() // ends Accept when erl never connected
	}()

	count, echoErr := etfEcho(t, listener)
	cancelled := ctx.Err()
	if echoErr != nil {
		t.Error(echoErr)
		cancel()
	}
	if err := <-exited; err != nil || cancelled != nil {
		t.Errorf("erl: %v (%v)\n%.4000s", err, cancelled, output.String())
	}
	if count != etfTerms && !t.Failed() {
		t.Errorf("%d terms came, want %d", count, etfTerms)
	}
	want := fmt.Sprintf("compared %d\n", etfTerms)
	if !t.Failed() && output.String() != want {
		t.Errorf("erl printed %q, want %q", output.String(), want)
	}
}

// etfEcho answers one connection until it closes, and counts.
func etfEcho(t *testing.T, listener net.Listener) (count int, err error) {
	conn, err := listener.Accept()
	if err != nil {
		return 0, fmt.Errorf("erl never connected: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(3 * time.Minute)); err != nil {
		return 0, err
	}
	reuse := etf.NewDecoder(etf.DecodeOptions{Reuse: true, AliasInput: true})
	plain := etf.NewDecoder(etf.DecodeOptions{})
	var refs etf.RefTable
	withRefs := etf.Encoder{Refs: &refs}
	var packet []byte
	for ; ; count++ {
		var size [4]byte
		if _, err := io.ReadFull(conn, size[:]); errors.Is(err, io.EOF) {
			return count, nil
		} else if err != nil {
			return count, err
		}
		packet = append(packet[:0], make([]byte, binary.BigEndian.Uint32(size[:]))...)
		if _, err := io.ReadFull(conn, packet); err != nil {
			return count, err
		}
		n := binary.BigEndian.Uint32(packet)
		input, text := packet[4:4+n], string(packet[4+n:])

		// Both ways to decode, in turn with each other.
		d := plain
		if count%2 == 0 {
			d = reuse
			d.Reset()
		}
		term, err := d.Decode(input)
		if err != nil {
			return count, fmt.Errorf("decode %.200x: %w", input, err)
		}
		if text != "" {
			if ours := etf.Format(term); ours != text {
				t.Errorf("term %d printed as\n%.500s\nErlang prints\n%.500s", count, ours, text)
			}
			parsed, err := etf.Parse(text)
			if err != nil {
				t.Errorf("term %d: parse %.500s: %v", count, text, err)
			} else if !etf.Equal(parsed, term) {
				t.Errorf("term %d: %.500s\nparsed as %.500s", count, text, etf.Format(parsed))
			}
		}

		full, err := etf.Append(nil, term)
		if err != nil {
			return count, fmt.Errorf("encode %.200s: %w", etf.Format(term), err)
		}
		refs.Reset()
		body, err := withRefs.AppendTerm(nil, term)
		if err != nil {
			return count, fmt.Errorf("encode %.200s with atom cache: %w", etf.Format(term), err)
		}
		// What a peer would have in its AtomRefs, by way of a header.
		var send etf.SendCache
		h, _, err := etf.DecodeHeader(send.AppendHeader(nil, &refs), new(etf.ReceiveCache))
		if err != nil {
			return count, err
		}
		atoms := make(etf.Tuple, h.Refs.Len())
		for i := range atoms {
			atoms[i] = h.Refs.At(i)
		}
		back, _, err := plain.DecodeTerm(body, &h.Refs)
		if err != nil {
			return count, err
		}
		if !etf.Equal(back, term) {
			return count, fmt.Errorf("term %d came back through the atom cache as %.500s", count, etf.Format(back))
		}

		reply := binary.BigEndian.AppendUint32(make([]byte, 4, 8+len(full)), uint32(len(full)))
		reply = append(reply, full...)
		if reply, err = etf.Append(reply, etf.Tuple{atoms, body}); err != nil {
			return count, err
		}
		binary.BigEndian.PutUint32(reply, uint32(len(reply)-4))
		if _, err := conn.Write(reply); err != nil {
			return count, err
		}
	}
}

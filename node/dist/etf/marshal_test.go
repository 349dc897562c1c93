package etf

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
)

type inner struct {
	Weight float64
	Tags   []string
}

// everything has a field of every kind that Marshal knows.
type everything struct {
	inner        // its fields count as ours
	On      bool `etf:"enabled"`
	QoS     uint8
	Max     int64
	Big     *big.Int
	Huge    uint64
	Payload []byte
	MaxSize map[string]int
	Next    *everything
	From    Pid
	Any     any
	Name    Atom
	Args    List
	Pair    [2]int32
	Half    float32
	hidden  int
	Skipped int    `etf:"-"`
	Empty   string `etf:"empty,omitempty"`
	Bytes   [3]byte
}

func TestMarshalStruct(t *testing.T) {
	in := everything{
		inner: inner{Weight: 0.5, Tags: []string{"a", "ż"}},
		On:    true, QoS: 2, Max: -1 << 40, Big: bigInt("0xFFFFFFFFFFFFFFFFFF"), Huge: math.MaxUint64, Payload: []byte{0, 1},
		MaxSize: map[string]int{"b": 2, "a": 1}, Next: &everything{Big: big.NewInt(1), Any: Atom("x")},
		From: Pid{Node: "a@b", ID: 1}, Any: Tuple{Atom("t"), int64(1)}, Name: "atom", Args: List{int64(1)}, Pair: [2]int32{-1, 1},
		Half: 0.25, hidden: 1, Skipped: 1, Bytes: [3]byte{1, 2, 3},
	}
	term, err := Marshal(&in)
	if err != nil {
		t.Fatal(err)
	}
	m := term.(Map)
	for _, k := range []Atom{"hidden", "skipped", "empty", "inner"} {
		if _, ok := m.Get(k); ok {
			t.Errorf("has the key %s", k)
		}
	}
	for k, want := range map[Atom]any{
		"weight": 0.5, "tags": List{"a", "ż"}, "enabled": true, "qo_s": 2, "huge": uint64(math.MaxUint64), "payload": []byte{0, 1},
		"max_size": Map{{"a", 1}, {"b", 2}}, "from": in.From, "any": in.Any, "name": Atom("atom"), "bytes": []byte{1, 2, 3},
		"pair": List{-1, 1}, "half": 0.25,
	} {
		if got, ok := m.Get(k); !ok || !Equal(got, want) {
			t.Errorf("%s: %s, want %s", k, Format(got), Format(want))
		}
	}
	b, err := Append(nil, term)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	var out everything
	if err := Unmarshal(back, &out); err != nil {
		t.Fatal(err)
	}
	in.hidden, in.Skipped = 0, 0
	in.Next.Tags, in.Next.Payload, in.Next.MaxSize, in.Next.Args = []string{}, []byte{}, map[string]int{}, List{}
	if !reflect.DeepEqual(in, out) {
		t.Errorf("came back as\n%+v, want\n%+v", out, in)
	}
}

type user struct {
	_    Record `etf:"user"`
	Name string
	Age  int `etf:",omitempty"` // has its place in a record anyhow
}

func TestRecord(t *testing.T) {
	term, err := Marshal(user{Name: "Ann"})
	if err != nil || Format(term) != `{user,<<"Ann">>,0}` {
		t.Fatalf("%s, %v", Format(term), err)
	}
	var u user
	if err := Unmarshal(Tuple{Atom("user"), Charlist("Bob"), 41}, &u); err != nil || u.Name != "Bob" || u.Age != 41 {
		t.Errorf("%+v, %v", u, err)
	}
	for _, bad := range []any{Tuple{Atom("user"), "x"}, Tuple{Atom("group"), "x", 1}, Tuple{}, Map{}, Atom("user"), Tuple{Atom("user"), "x", "y"}} {
		if err := Unmarshal(bad, &u); !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: %v", Format(bad), err)
		}
	}
}

// celsius goes as {celsius, Degrees}.
type celsius float64

func (c celsius) MarshalETF() (any, error) { return Tuple{Atom("celsius"), float64(c)}, nil }

func (c *celsius) UnmarshalETF(term any) error {
	t, ok := term.(Tuple)
	if !ok || len(t) != 2 || t[0] != Atom("celsius") {
		return fmt.Errorf("no temperature: %w", ErrMismatch)
	}
	return Unmarshal(t[1], (*float64)(c))
}

func TestMarshaler(t *testing.T) {
	type room struct{ Temp celsius }
	term, err := Marshal([]room{{21.5}})
	if err != nil || Format(term) != "[#{temp => {celsius,21.5}}]" {
		t.Fatalf("%s, %v", Format(term), err)
	}
	var rooms []room
	if err := Unmarshal(term, &rooms); err != nil || len(rooms) != 1 || rooms[0].Temp != 21.5 {
		t.Errorf("%v, %v", rooms, err)
	}
	if err := Unmarshal(List{Map{{Atom("temp"), 1}}}, &rooms); err == nil || !strings.Contains(err.Error(), "element 1: field temp: no temperature") {
		t.Errorf("%v", err)
	}
}

func TestUnmarshalOptions(t *testing.T) {
	type options struct {
		QoS    int `etf:"qos"`
		Retain bool
		Node   string
		Opt    *int
	}
	for _, in := range []string{
		`#{qos => 1, retain => true, node => 'a@b', opt => 5, unknown => 1}`,
		`[{qos,1}, retain, {node,"a@b"}, {opt,5}, {qos,2}]`,
		`#{<<"qos">> => 1, "retain" => true, node => <<"a@b">>, opt => 5, 7 => 8}`,
	} {
		term, err := Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		var o options
		if err := Unmarshal(term, &o); err != nil || o.QoS != 1 || !o.Retain || o.Node != "a@b" || o.Opt == nil || *o.Opt != 5 {
			t.Errorf("%s: %+v, %v", in, o, err)
		}
	}
	o := options{QoS: 3, Opt: new(int)}
	if err := Unmarshal(Map{{Atom("opt"), Atom("undefined")}}, &o); err != nil || o.Opt != nil || o.QoS != 3 {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestUnmarshalMismatch(t *testing.T) {
	for _, c := range []struct {
		in   any
		into any
	}{
		{256, new(uint8)},
		{-1, new(uint)},
		{1 << 40, new(int32)},
		{bigInt("1000000000000000000000"), new(int64)},
		{1.5, new(int)},
		{Atom("a"), new(int)},
		{Atom("maybe"), new(bool)},
		{1e300, new(float32)},
		{"x", new(float64)},
		{Tuple{}, new(string)},
		{[]byte{0xFF}, new(string)},
		{Atom("a"), new([]byte)},
		{Atom("a"), new([]int)},
		{List{1, Atom("a")}, new([]int)},
		{List{1}, new([2]int)},
		{[]byte{1}, new([2]byte)},
		{1, new(map[string]int)},
		{Map{{1, 1}}, new(map[string]int)},
		{Map{{"a", "b"}}, new(map[string]int)},
		{Map{{List{1}, 1}}, new(map[any]int)},
		{List{Tuple{1}}, new(map[string]int)},
		{1, new(struct{ A int })},
		{1, new(Atom)},
		{1, new(Pid)},
		{1, new(List)},
		{1, new(Map)},
		{Atom("a"), new(*big.Int)},
		{nil, new(int)},
		{1, new(error)},
		{Tuple{}, new(List)},
		{1, new(chan int)},
	} {
		if err := Unmarshal(c.in, c.into); !errors.Is(err, ErrMismatch) {
			t.Errorf("%s into %T: %v", Format(c.in), c.into, err)
		}
	}
	for _, into := range []any{nil, 1, (*int)(nil)} {
		if err := Unmarshal(1, into); !errors.Is(err, ErrUnsupported) {
			t.Errorf("into %T: %v", into, err)
		}
	}
	err := Unmarshal(Map{{Atom("list"), List{Map{{Atom("n"), "x"}}}}}, &struct{ List []struct{ N int } }{})
	if err == nil || !strings.Contains(err.Error(), `field list: element 1: field n: <<"x">>`) {
		t.Errorf("%v", err)
	}
}

func TestMarshalRefusals(t *testing.T) {
	type loop struct{ L *loop }
	l := &loop{}
	l.L = l
	for _, c := range []struct {
		in  any
		err error
	}{
		{make(chan int), ErrUnsupported},
		{func() {}, ErrUnsupported},
		{[]any{complex(1, 2)}, ErrUnsupported},
		{map[string]any{"a": make(chan int)}, ErrUnsupported},
		{struct{ F func() }{}, ErrUnsupported},
		{l, ErrDepth},
	} {
		if _, err := Marshal(c.in); !errors.Is(err, c.err) {
			t.Errorf("%T: %v", c.in, err)
		}
	}
	if term, err := Marshal(nil); err != nil || term != Atom("undefined") {
		t.Errorf("nil: %v, %v", term, err)
	}
}

package etf

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrMismatch is returned by Unmarshal when a term does not fit the Go value
// it is meant for.
var ErrMismatch = errors.New("term does not fit")

// Marshaler is implemented by types that make their own term for Marshal.
type Marshaler interface {
	MarshalETF() (any, error)
}

// Unmarshaler is implemented by types that read their own term for Unmarshal.
// They must copy what they keep.
type Unmarshaler interface {
	UnmarshalETF(term any) error
}

// Record marks a struct as an Erlang record, a tuple that begins with the
// record's name and then has the fields in order. It is a blank field whose
// tag is the name:
//
//	type user struct {
//		_    etf.Record `etf:"user"`
//		Name string
//		Age  int
//	}                   // {user, <<"Ann">>, 41}
type Record struct{}

var (
	recordType = reflect.TypeFor[Record]()
	byteType   = reflect.TypeFor[byte]()
	bigType    = reflect.TypeFor[big.Int]()
)

// Marshal turns a Go value into a term for Append:
//
//	terms of this package   as they are
//	bool, numbers           atom, integer, float
//	string, []byte          binary
//	slice, array            list
//	map                     map, sorted where keys are strings or integers
//	struct                  map with atoms as keys, or record (see Record)
//	pointer, interface      what it points to; undefined when nil
//
// A struct field is named by its tag `etf:"name"`, else by its Go name in
// snake case (MaxDepth: max_depth). `etf:"-"` leaves it out, the option
// omitempty (`etf:"name,omitempty"`, not in records) does when it is zero.
// Unexported fields are left out; those of an embedded struct without a tag
// count as fields of the outer one.
func Marshal(v any) (any, error) {
	return marshal(reflect.ValueOf(v), 0)
}

func marshal(v reflect.Value, depth int) (any, error) {
	if !v.IsValid() {
		return Atom("undefined"), nil
	}
	if depth > DefaultLimits.MaxDepth {
		return nil, ErrDepth
	}
	nilable := v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface
	if nilable && v.IsNil() {
		return Atom("undefined"), nil
	}
	if v.CanInterface() {
		switch t := v.Interface().(type) {
		case Marshaler:
			return t.MarshalETF()
		case Atom, []byte, Tuple, List, Charlist, ImproperList, Map, BitString, Pid, Port, Ref, Export, Fun, *big.Int:
			return t, nil
		}
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return marshal(v.Elem(), depth+1)
	case reflect.Bool:
		if v.Bool() {
			return Atom("true"), nil
		}
		return Atom("false"), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int(), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if u := v.Uint(); u > math.MaxInt64 {
			return new(big.Int).SetUint64(u), nil
		}
		return int64(v.Uint()), nil
	case reflect.Float32, reflect.Float64:
		return v.Float(), nil
	case reflect.String:
		return []byte(v.String()), nil
	case reflect.Slice, reflect.Array:
		if v.Type().Elem() == byteType {
			b := make([]byte, v.Len())
			reflect.Copy(reflect.ValueOf(b), v)
			return b, nil
		}
		l := make(List, v.Len())
		for i := range l {
			e, err := marshal(v.Index(i), depth+1)
			if err != nil {
				return nil, fmt.Errorf("element %d: %w", i, err)
			}
			l[i] = e
		}
		return l, nil
	case reflect.Map:
		return marshalMap(v, depth)
	case reflect.Struct:
		return marshalStruct(v, depth)
	}
	return nil, fmt.Errorf("%s: %w", v.Type(), ErrUnsupported)
}

func marshalMap(v reflect.Value, depth int) (any, error) {
	m := make(Map, 0, v.Len())
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int {
		switch {
		case a.Kind() == reflect.String:
			return strings.Compare(a.String(), b.String())
		case a.CanInt():
			return cmp.Compare(a.Int(), b.Int())
		}
		return 0
	})
	for _, k := range keys {
		key, err := marshal(k, depth+1)
		if err != nil {
			return nil, fmt.Errorf("key %v: %w", k, err)
		}
		value, err := marshal(v.MapIndex(k), depth+1)
		if err != nil {
			return nil, fmt.Errorf("key %v: %w", k, err)
		}
		m = append(m, Pair{key, value})
	}
	return m, nil
}

func marshalStruct(v reflect.Value, depth int) (any, error) {
	plan := planOf(v.Type())
	var m Map
	t := Tuple{plan.record}
	for _, f := range plan.fields {
		field := v.FieldByIndex(f.index)
		if f.omitEmpty && field.IsZero() {
			continue
		}
		e, err := marshal(field, depth+1)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", f.name, err)
		}
		if plan.record != "" {
			t = append(t, e)
		} else {
			m = append(m, Pair{f.name, e})
		}
	}
	if plan.record != "" {
		return t, nil
	}
	return m, nil
}

// A plan says how a struct is laid out as a term.
type plan struct {
	record Atom // name of the record, "" for a map
	fields []plannedField
}

type plannedField struct {
	name      Atom
	index     []int
	omitEmpty bool
}

func planOf(t reflect.Type) plan {
	var p plan
	for _, f := range reflect.VisibleFields(t) {
		tag, tagged := f.Tag.Lookup("etf")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case f.Type == recordType && f.Name == "_" && len(f.Index) == 1:
			p.record = Atom(name)
			continue
		case !f.IsExported(), tag == "-", f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct:
			continue
		case viaPointer(t, f.Index) || !promoted(t, f.Index):
			continue
		}
		if name == "" {
			name = snake(f.Name)
		}
		p.fields = append(p.fields, plannedField{Atom(name), f.Index, options == "omitempty"})
	}
	if p.record != "" {
		for i := range p.fields {
			p.fields[i].omitEmpty = false
		}
	}
	return p
}

// viaPointer reports whether a field lies in an embedded pointer, which may be
// nil.
func viaPointer(t reflect.Type, index []int) bool {
	for _, i := range index[:len(index)-1] {
		f := t.Field(i)
		if f.Type.Kind() == reflect.Pointer {
			return true
		}
		t = f.Type
	}
	return false
}

// promoted reports whether all structs around a field are embedded without a
// tag, so that it counts as a field of the outer one.
func promoted(t reflect.Type, index []int) bool {
	for _, i := range index[:len(index)-1] {
		f := t.Field(i)
		if _, tagged := f.Tag.Lookup("etf"); tagged {
			return false
		}
		t = f.Type
	}
	return true
}

// snake turns MaxDepth into max_depth and ClientID into client_id.
func snake(s string) string {
	var b strings.Builder
	r := []rune(s)
	for i, c := range r {
		if unicode.IsUpper(c) && i > 0 && (!unicode.IsUpper(r[i-1]) || i+1 < len(r) && unicode.IsLower(r[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

// Unmarshal reads term into what into points to, the reverse of Marshal.
// Beyond what Marshal makes it takes, for a Go string, an atom, a binary or
// chardata; for bytes also an iolist; for a struct also a property list, as in
// [{qos,1}, retain], and keys that are binaries or strings; for a float an
// integer. Keys without a field are ignored, fields without a key stay as they
// are. Integers must fit their type. The atom undefined makes a pointer nil.
//
// What it stores shares no memory with term, except in fields of type any and
// of the types of this package: use Clone there if the term will not last.
// The error wraps ErrMismatch and names the field.
func Unmarshal(term any, into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("unmarshal into %T: not a pointer: %w", into, ErrUnsupported)
	}
	return unmarshal(term, v.Elem(), 0)
}

func mismatch(term any, v reflect.Value) error {
	return fmt.Errorf("%s for Go type %s: %w", FormatLimit(term, 60), v.Type(), ErrMismatch)
}

func unmarshal(term any, v reflect.Value, depth int) error {
	if depth > DefaultLimits.MaxDepth {
		return ErrDepth
	}
	if v.CanAddr() && v.Addr().CanInterface() {
		if u, ok := reflect.TypeAssert[Unmarshaler](v.Addr()); ok {
			return u.UnmarshalETF(term)
		}
	}
	if v.Kind() == reflect.Pointer && v.Type().Elem() != bigType {
		if term == Atom("undefined") {
			v.SetZero()
			return nil
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return unmarshal(term, v.Elem(), depth+1)
	}
	if term == nil {
		return mismatch(term, v)
	}
	if done, err := unmarshalTerm(term, v); done || err != nil {
		return err
	}
	switch v.Kind() {
	case reflect.Interface:
		if t := reflect.ValueOf(term); t.Type().AssignableTo(v.Type()) {
			v.Set(t)
			return nil
		}
	case reflect.Bool:
		if b := asBool(term); b != nil {
			v.SetBool(*b)
			return nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if i, ok := AsInt(term); ok && !v.OverflowInt(i) {
			v.SetInt(i)
			return nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if b, ok := asInteger(term); ok && b.IsUint64() && !v.OverflowUint(b.Uint64()) {
			v.SetUint(b.Uint64())
			return nil
		}
	case reflect.Float32, reflect.Float64:
		if f, ok := asFloat(term); ok && !v.OverflowFloat(f) {
			v.SetFloat(f)
			return nil
		}
	case reflect.String:
		if s, ok := Text(term); ok && utf8.ValidString(s) {
			v.SetString(s)
			return nil
		}
	case reflect.Slice, reflect.Array:
		return unmarshalSlice(term, v, depth)
	case reflect.Map:
		return unmarshalMap(term, v, depth)
	case reflect.Struct:
		return unmarshalStruct(term, v, depth)
	}
	return mismatch(term, v)
}

// unmarshalTerm stores a term in a variable of a type of this package.
func unmarshalTerm(term any, v reflect.Value) (done bool, err error) {
	switch p := v.Addr().Interface().(type) {
	case *Atom:
		switch a := term.(type) {
		case Atom:
			*p = a
			return true, nil
		case bool:
			if *p = "false"; a {
				*p = "true"
			}
			return true, nil
		}
		return false, mismatch(term, v)
	case *List:
		if l, ok := AsList(term); ok {
			*p = l
			return true, nil
		}
		return false, mismatch(term, v)
	case **big.Int:
		if b, ok := asInteger(term); ok {
			*p = new(big.Int).Set(b)
			return true, nil
		}
		return false, mismatch(term, v)
	case *Map:
		if m, ok := asMap(term); ok {
			*p = m
			return true, nil
		}
		return false, mismatch(term, v)
	case *Tuple, *Charlist, *ImproperList, *BitString, *Pid, *Port, *Ref, *Export, *Fun:
		if t := reflect.ValueOf(term); t.Type() == v.Type() {
			v.Set(t)
			return true, nil
		}
		return false, mismatch(term, v)
	}
	return false, nil
}

func asBool(term any) *bool {
	switch t := term.(type) {
	case bool:
		return &t
	case Atom:
		if b := t == "true"; b || t == "false" {
			return &b
		}
	}
	return nil
}

func asFloat(term any) (float64, bool) {
	switch t := term.(type) {
	case float64:
		return t, true
	case float32:
		return float64(t), true
	}
	if i, ok := AsInt(term); ok {
		return float64(i), true
	}
	if b, ok := asBig(term); ok {
		f, _ := b.Float64()
		return f, !math.IsInf(f, 0)
	}
	return 0, false
}

func unmarshalSlice(term any, v reflect.Value, depth int) error {
	var l List
	if v.Type().Elem() == byteType {
		b, err := AppendIOData([]byte{}, term)
		if err != nil {
			return mismatch(term, v)
		}
		if v.Kind() == reflect.Slice {
			v.SetBytes(b)
			return nil
		}
		if len(b) != v.Len() {
			return mismatch(term, v)
		}
		reflect.Copy(v, reflect.ValueOf(b))
		return nil
	}
	l, ok := AsList(term)
	if !ok || v.Kind() == reflect.Array && len(l) != v.Len() {
		return mismatch(term, v)
	}
	if v.Kind() == reflect.Slice {
		v.Set(reflect.MakeSlice(v.Type(), len(l), len(l)))
	}
	for i, e := range l {
		if err := unmarshal(e, v.Index(i), depth+1); err != nil {
			return fmt.Errorf("element %d: %w", i+1, err)
		}
	}
	return nil
}

func unmarshalMap(term any, v reflect.Value, depth int) error {
	m, ok := asMap(term)
	if !ok {
		if m, ok = properties(term); !ok {
			return mismatch(term, v)
		}
	}
	out := reflect.MakeMapWithSize(v.Type(), len(m))
	for _, p := range m {
		k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		if err := unmarshal(p.Key, k, depth+1); err != nil {
			return fmt.Errorf("key %s: %w", FormatLimit(p.Key, 60), err)
		}
		if !k.Comparable() {
			return fmt.Errorf("key %s: %w", FormatLimit(p.Key, 60), mismatch(p.Key, k))
		}
		if err := unmarshal(p.Value, e, depth+1); err != nil {
			return fmt.Errorf("key %s: %w", FormatLimit(p.Key, 60), err)
		}
		out.SetMapIndex(k, e)
	}
	v.Set(out)
	return nil
}

// properties returns the pairs of a property list: [{key, value}, flag]. The
// first of equal keys counts, as in proplists:get_value/2.
func properties(term any) (Map, bool) {
	l, ok := AsList(term)
	if !ok {
		return nil, false
	}
	var m Map
	for _, e := range l {
		switch t := e.(type) {
		case Atom:
			m = append(m, Pair{t, Atom("true")})
		case Tuple:
			if len(t) != 2 {
				return nil, false
			}
			m = append(m, Pair{t[0], t[1]})
		default:
			return nil, false
		}
	}
	slices.Reverse(m)
	return m, true
}

func unmarshalStruct(term any, v reflect.Value, depth int) error {
	plan := planOf(v.Type())
	if plan.record != "" {
		t, ok := term.(Tuple)
		if !ok || len(t) != 1+len(plan.fields) || t[0] != plan.record {
			return fmt.Errorf("record %s of %d fields: %w", plan.record, len(plan.fields), mismatch(term, v))
		}
		for i, f := range plan.fields {
			if err := unmarshal(t[i+1], v.FieldByIndex(f.index), depth+1); err != nil {
				return fmt.Errorf("field %s: %w", f.name, err)
			}
		}
		return nil
	}
	m, ok := asMap(term)
	if !ok {
		if m, ok = properties(term); !ok {
			return mismatch(term, v)
		}
	}
	for _, p := range m {
		name, ok := Text(p.Key)
		if !ok {
			continue
		}
		i := slices.IndexFunc(plan.fields, func(f plannedField) bool { return string(f.name) == name })
		if i < 0 {
			continue
		}
		if err := unmarshal(p.Value, v.FieldByIndex(plan.fields[i].index), depth+1); err != nil {
			return fmt.Errorf("field %s: %w", name, err)
		}
	}
	return nil
}

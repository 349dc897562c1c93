package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/viper"

	"ermine/node/config/hocon"
)

// format is the name of our form in viper's codec registry.
const format = "hocon"

// viper keeps a list of the formats it knows besides the registry and refuses
// all others, registered or not.
func init() { viper.SupportedExts = append(viper.SupportedExts, format) }

// separator stands between the segments of a path in viper. Names chosen by the
// user may hold dots, so that a dot cannot.
const separator = "\x1f"

var plainSegment = regexp.MustCompile(`^[a-z0-9_-]+$`)

// viperKey writes a path for viper, which ignores case in paths: what a change to
// small letters could touch is written in hexadecimal.
func viperKey(path []string) string {
	segs := make([]string, len(path))
	for i, s := range path {
		segs[i] = viperSegment(s)
	}
	return strings.Join(segs, separator)
}

func viperSegment(s string) string {
	if plainSegment.MatchString(s) {
		return s
	}
	return "=" + hex.EncodeToString([]byte(s))
}

// segmentOf is the reverse of viperSegment.
func segmentOf(s string) string {
	if enc, ok := strings.CutPrefix(s, "="); ok {
		if dec, err := hex.DecodeString(enc); err == nil {
			return string(dec)
		}
	}
	return s
}

// codec is how viper reads and writes the file. What it reads are settings, keyed
// by present names; it never fails, but leaves mistakes in its binder, so that all
// of them can be told at once.
type codec struct {
	name    string // of the file
	options hocon.Options
	binder  *binder
	doc     *hocon.Document
	syntax  hocon.ErrorList
}

// Decode reads a file into v, a tree with a *setting at each leaf.
func (c *codec) Decode(text []byte, v map[string]any) error {
	doc, err := hocon.Parse(c.name, text, c.options)
	if err != nil && !errors.As(err, &c.syntax) {
		return err
	}
	c.doc = doc
	c.binder.tree(doc.Root)
	for _, s := range c.binder.into {
		m := v
		for _, seg := range s.path[:len(s.path)-1] {
			seg = viperSegment(seg)
			next, ok := m[seg].(map[string]any)
			if !ok {
				next = make(map[string]any)
				m[seg] = next
			}
			m = next
		}
		m[viperSegment(s.path[len(s.path)-1])] = s
	}
	return nil
}

// Encode writes such a tree as HOCON, keys in the order of the alphabet and
// secrets masked.
func (c *codec) Encode(v map[string]any) ([]byte, error) {
	root, err := encodeMap(v)
	if err != nil {
		return nil, err
	}
	return hocon.Format(root), nil
}

func encodeMap(v map[string]any) (*hocon.Value, error) {
	o := hocon.NewObject(hocon.Pos{})
	for _, name := range slices.Sorted(maps.Keys(v)) {
		var field *hocon.Value
		switch val := v[name].(type) {
		case map[string]any:
			var err error
			if field, err = encodeMap(val); err != nil {
				return nil, err
			}
		case *setting:
			field = shown(val.key, val.raw)
		default:
			return nil, fmt.Errorf("encode %s: a %T is no setting", name, val)
		}
		o.Set(segmentOf(name), hocon.Pos{}, field)
	}
	return o, nil
}

// shown is a raw value as it may be printed: masked if it is, or may hold, a
// secret.
func shown(k *Key, v *hocon.Value) *hocon.Value {
	if k.Secret && v.Text != "" || k.Type == TypeAny && (v.Kind == hocon.Object || v.Kind == hocon.Array) {
		return hocon.NewString(v.Pos, mask)
	}
	return v
}

package hocon

import (
	"errors"
	"slices"
	"strings"
)

// concat joins the parts of a value, none of which refers to another any more:
// objects merge, lists follow each other, scalars become one string with the
// blanks between them.
func concat(pos Pos, parts []part) (*Value, *Error) {
	if len(parts) == 1 {
		return parts[0].value, nil
	}
	kind := String
	for i, pt := range parts {
		k := pt.value.Kind
		if k != Array && k != Object {
			k = String
		}
		if i > 0 && k != kind {
			return nil, &Error{Pos: pt.pos, Msg: k.Phrase() + " cannot follow " + kind.Phrase() + " in one value (is a comma missing?)"}
		}
		kind = k
	}
	switch kind {
	case Object:
		out := NewObject(pos)
		for _, pt := range parts {
			if _, err := Merge(out, pt.value); err != nil {
				return nil, asError(pos, err)
			}
		}
		return out, nil
	case Array:
		out := &Value{Kind: Array, Pos: pos}
		for _, pt := range parts {
			out.Items = append(out.Items, pt.value.Items...)
		}
		return out, nil
	default:
		var b strings.Builder
		quoted := false
		for _, pt := range parts {
			b.WriteString(pt.space)
			b.WriteString(pt.value.Text)
			quoted = quoted || pt.value.Quoted
		}
		return &Value{Kind: String, Pos: pos, Text: b.String(), Quoted: quoted}, nil
	}
}

func asError(pos Pos, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Pos: pos, Msg: err.Error()}
}

// resolve replaces every pending value below root.
func (l *loader) resolve(root *Value) {
	r := &resolver{loader: l, root: root, open: make(map[*Value]bool)}
	r.object(root)
}

type resolver struct {
	*loader
	root *Value
	open map[*Value]bool // pending values being resolved now
	held []*Value        // innermost last; the same ones as in open
}

// value gives v with all references in it replaced, nil if it is only a
// reference that may be missing and is.
func (r *resolver) value(v *Value) *Value {
	switch v.Kind {
	case Object:
		r.object(v)
	case Array:
		items := v.Items[:0]
		for _, it := range v.Items {
			if it = r.value(it); it != nil {
				items = append(items, it)
			}
		}
		v.Items = items
	case pending:
		return r.pending(v)
	default:
	}
	return v
}

func (r *resolver) object(o *Value) {
	for _, f := range slices.Clone(o.fields) {
		if r.errs.full() {
			return
		}
		// A reference from elsewhere may have resolved it already.
		now := o.Get(f.Name)
		if now == nil {
			continue
		}
		if v := r.value(now); v == nil {
			o.remove(f.Name)
		} else {
			o.Set(f.Name, f.Pos, v)
		}
	}
}

func (r *resolver) pending(v *Value) *Value {
	r.open[v] = true
	r.held = append(r.held, v)
	defer func() {
		delete(r.open, v)
		r.held = r.held[:len(r.held)-1]
	}()
	if len(r.held) > r.opt.MaxDepth {
		r.errs.add(v.Pos, "references nested deeper than %d", r.opt.MaxDepth)
		return nil
	}
	var parts []part
	for _, pt := range v.parts {
		if pt.ref == nil {
			pt.value = r.value(pt.value.Clone())
			if pt.value != nil {
				parts = append(parts, pt)
			}
			continue
		}
		found, ok := r.lookup(pt)
		if !ok {
			return nil
		}
		if found == nil {
			if !pt.optional {
				r.errs.add(pt.pos, "${%s} is neither set in this document nor a known variable", joinPath(pt.ref))
				return nil
			}
			continue
		}
		pt.value = found
		parts = append(parts, pt)
	}
	var out *Value
	if len(parts) > 0 {
		joined, err := concat(v.Pos, parts)
		if err != nil {
			r.errs.add(err.Pos, "%s", err.Msg)
			return nil
		}
		out = joined
		out.Pos = v.Pos
	}
	if v.prev == nil || out != nil && out.Kind != Object && !out.IsIndexed() {
		return out
	}
	// The key had a value before: an object merges into it, and a reference
	// to nothing leaves it.
	prev := r.value(v.prev)
	if out == nil || prev == nil {
		return cmpOr(out, prev)
	}
	if prev.Kind != Object && prev.Kind != Array {
		return out
	}
	merged, err := Merge(prev, out)
	if err != nil {
		e := asError(v.Pos, err)
		r.errs.add(e.Pos, "%s", e.Msg)
		return nil
	}
	return merged
}

func cmpOr(a, b *Value) *Value {
	if a != nil {
		return a
	}
	return b
}

// lookup finds what a reference means and gives a copy of it: a value of the
// document, what the key itself held before, or a variable. Nil is none; false
// tells of a mistake, already reported.
func (r *resolver) lookup(pt part) (*Value, bool) {
	before := len(r.errs)
	target := r.root
	for _, name := range pt.ref {
		next := target.Get(name)
		switch {
		case next == nil || next.Kind != pending:
		case !r.open[next]:
			holder := target
			if next = r.pending(next); next != nil {
				holder.Set(name, next.Pos, next)
			} else {
				holder.remove(name)
			}
		case next == r.held[len(r.held)-1]:
			// The reference leads back to the key being set: it means what
			// that key held before.
			if next = next.prev.Clone(); next != nil {
				next = r.value(next)
			}
		default:
			r.errs.add(pt.pos, "${%s} refers to itself through other values", joinPath(pt.ref))
		}
		if len(r.errs) > before {
			return nil, false
		}
		if target = next; target == nil {
			break
		}
	}
	if target == nil {
		text, ok := r.opt.Lookup(strings.Join(pt.ref, "."))
		if !ok {
			return nil, true
		}
		return &Value{Kind: String, Pos: pt.pos, Text: text}, r.grow(pt.pos, len(text))
	}
	if r.within(target) {
		r.errs.add(pt.pos, "${%s} refers to an object that it is part of", joinPath(pt.ref))
		return nil, false
	}
	target = r.value(target)
	if len(r.errs) > before || !r.grow(pt.pos, weight(target)) {
		return nil, false
	}
	return target.Clone(), true
}

// within tells whether a value that is being resolved lies inside target.
func (r *resolver) within(target *Value) bool {
	if r.open[target] {
		return true
	}
	if slices.ContainsFunc(target.Items, r.within) {
		return true
	}
	return slices.ContainsFunc(target.fields, func(f Field) bool { return r.within(f.Value) })
}

// grow counts what a substitution adds; the sum is limited like the files are.
func (r *resolver) grow(pos Pos, n int) bool {
	if r.size += n; r.size > r.opt.MaxSize {
		r.errs.add(pos, "references make the document larger than %d bytes", r.opt.MaxSize)
		return false
	}
	return true
}

// weight is about the bytes that a copy of v costs as text.
func weight(v *Value) int {
	n := 16 + len(v.Text)
	for _, it := range v.Items {
		n += weight(it)
	}
	for _, f := range v.fields {
		n += len(f.Name) + weight(f.Value)
	}
	for _, pt := range v.parts {
		if pt.value != nil {
			n += weight(pt.value)
		}
	}
	return n
}

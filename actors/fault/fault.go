package fault

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Action is what an armed point does to a pass.
type Action uint8

// The actions. The zero Action is none and is refused by Arm.
const (
	Panic Action = iota + 1 // panic with an *Injected
	Error                   // Err returns an error; Hit panics, as it has no way to return one
	Delay                   // the pass sleeps
	Exit                    // the process ends at once with ExitStatus
)

// ExitStatus is the status with which the action Exit ends the process.
const ExitStatus = 86

// String is the action's word in the text form.
func (a Action) String() string {
	switch a {
	case Panic:
		return "panic"
	case Error:
		return "error"
	case Delay:
		return "delay"
	case Exit:
		return "exit"
	}
	return fmt.Sprintf("action(%d)", uint8(a))
}

// Spec says what an armed point does, and to which passes. The conditions are
// applied in the order Match, OnNth, Times, Probability; all must hold.
type Spec struct {
	Action Action
	// Match, if set, is given the subject of the pass (nil for Hit and Err)
	// and decides whether the pass counts at all. It runs on the goroutine of
	// the pass and must be safe for concurrent use.
	Match func(subject any) bool
	// OnNth is the first pass, counted from 1 since arming, that is affected;
	// with Times 0 it is also the only one. 0: from the first on, every one.
	OnNth uint64
	// Times is how many passes are affected before the arming is spent;
	// 0: no limit, or one if OnNth is set.
	Times uint64
	// Probability that an eligible pass is affected, 0 < p <= 1; 0 means 1.
	Probability float64
	// Err is returned for Error and wrapped by the panic of Panic; nil:
	// ErrInjected.
	Err error
	// Delay is the time to sleep for Delay; with Panic or Error it comes first.
	Delay time.Duration
}

// Injected is the value that an armed point panics with, and the error that
// it returns.
type Injected struct {
	Point string
	Err   error
}

// Error names the point.
func (e *Injected) Error() string { return fmt.Sprintf("fault %s: %v", e.Point, e.Err) }

// Unwrap gives Spec.Err or ErrInjected.
func (e *Injected) Unwrap() error { return e.Err }

// Point is one named place in the code. Make it with New, in a package
// variable. All methods may be called from any goroutine.
type Point struct {
	armed  atomic.Pointer[[]*arming] // nil: disarmed
	name   string
	passes atomic.Uint64 // while armed
	fired  atomic.Uint64
}

// arming is one Arm that has not been taken back.
type arming struct {
	spec  Spec
	seen  atomic.Uint64 // passes that matched
	taken atomic.Uint64 // passes that were affected
}

var registry struct {
	sync.Mutex
	points map[string]*Point
}

// New makes and registers a point. The name is "package.place" in lower case;
// a second point of the same name is a mistake in the program: New panics.
func New(name string) *Point {
	if name == "" || strings.ContainsAny(name, " \t\n=;,") {
		panic(fmt.Sprintf("fault: bad point name %q", name))
	}
	registry.Lock()
	defer registry.Unlock()
	if _, ok := registry.points[name]; ok {
		panic(fmt.Sprintf("fault: point %q exists", name))
	}
	if registry.points == nil {
		registry.points = make(map[string]*Point)
	}
	p := &Point{name: name}
	registry.points[name] = p
	return p
}

// Name is the name given to New.
func (p *Point) Name() string { return p.name }

// Hit passes the point. Armed, it panics (also for Error), sleeps or exits.
func (p *Point) Hit() {
	if p.armed.Load() != nil {
		p.hit(nil)
	}
}

// HitOn is Hit for a pass about a subject that Spec.Match can look at.
func (p *Point) HitOn(subject any) {
	if p.armed.Load() != nil {
		p.hit(subject)
	}
}

// Err passes the point and returns the injected error, if any. Armed, it may
// also panic, sleep or exit.
func (p *Point) Err() error {
	if p.armed.Load() == nil {
		return nil
	}
	return p.pass(nil)
}

// ErrOn is Err for a pass about a subject that Spec.Match can look at.
func (p *Point) ErrOn(subject any) error {
	if p.armed.Load() == nil {
		return nil
	}
	return p.pass(subject)
}

// hit is kept out of line so that Hit and HitOn are inlined.
//
//go:noinline
func (p *Point) hit(subject any) {
	if err := p.pass(subject); err != nil {
		panic(err)
	}
}

// exit ends the process; tests replace it.
var exit = os.Exit

func (p *Point) pass(subject any) error {
	list := p.armed.Load()
	if list == nil {
		return nil
	}
	p.passes.Add(1)
	for _, a := range *list {
		if !a.applies(subject) {
			continue
		}
		p.fired.Add(1)
		return a.act(p.name)
	}
	return nil
}

// applies decides about one pass and takes it if it is affected.
func (a *arming) applies(subject any) bool {
	s := &a.spec
	if s.Match != nil && !s.Match(subject) {
		return false
	}
	if n := a.seen.Add(1); n < s.OnNth {
		return false
	}
	if s.Probability < 1 && rand.Float64() >= s.Probability {
		return false
	}
	if s.Times == 0 {
		return true
	}
	for {
		n := a.taken.Load()
		if n >= s.Times {
			return false
		}
		if a.taken.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (a *arming) act(point string) error {
	if a.spec.Delay > 0 {
		time.Sleep(a.spec.Delay)
	}
	switch a.spec.Action {
	case Panic:
		panic(&Injected{Point: point, Err: a.spec.Err})
	case Error:
		return &Injected{Point: point, Err: a.spec.Err}
	case Exit:
		fmt.Fprintf(os.Stderr, "fault %s: exit\n", point)
		exit(ExitStatus)
	case Delay: // has been
	}
	return nil
}

// Arm makes the point of that name act on the passes that spec describes and
// returns what takes exactly this arming back, any number of times.
// ErrUnknownPoint for a name that no package has declared, ErrBadSpec for a
// spec that could never act.
func Arm(name string, spec Spec) (disarm func(), err error) {
	if err := spec.normalize(); err != nil {
		return nil, fmt.Errorf("arm %s: %w", name, err)
	}
	p := lookup(name)
	if p == nil {
		return nil, fmt.Errorf("arm %q: %w (known: %s)", name, ErrUnknownPoint, strings.Join(Names(), ", "))
	}
	a := &arming{spec: spec}
	p.edit(func(list []*arming) []*arming { return append(list, a) })
	return func() {
		p.edit(func(list []*arming) []*arming {
			return slices.DeleteFunc(list, func(b *arming) bool { return b == a })
		})
	}, nil
}

// normalize fills in defaults and refuses what makes no sense.
func (s *Spec) normalize() error {
	switch {
	case s.Action < Panic || s.Action > Exit:
		return fmt.Errorf("%w: no action", ErrBadSpec)
	case s.Action == Delay && s.Delay <= 0:
		return fmt.Errorf("%w: delay without a time", ErrBadSpec)
	case s.Delay < 0:
		return fmt.Errorf("%w: negative delay", ErrBadSpec)
	case !(s.Probability >= 0 && s.Probability <= 1):
		return fmt.Errorf("%w: probability %v is not in 0..1", ErrBadSpec, s.Probability)
	}
	if s.Probability == 0 {
		s.Probability = 1
	}
	if s.OnNth > 0 && s.Times == 0 {
		s.Times = 1
	}
	if s.Err == nil {
		s.Err = ErrInjected
	}
	return nil
}

// edit replaces the list of armings; passes see the old one or the new one.
func (p *Point) edit(f func([]*arming) []*arming) {
	registry.Lock()
	defer registry.Unlock()
	var list []*arming
	if old := p.armed.Load(); old != nil {
		list = slices.Clone(*old)
	}
	list = f(list)
	if len(list) == 0 {
		p.armed.Store(nil)
		return
	}
	p.armed.Store(&list)
}

// Disarm takes back all armings of one point.
func Disarm(name string) error {
	p := lookup(name)
	if p == nil {
		return fmt.Errorf("disarm %q: %w", name, ErrUnknownPoint)
	}
	p.edit(func([]*arming) []*arming { return nil })
	return nil
}

// DisarmAll takes back every arming of every point.
func DisarmAll() {
	for _, name := range Names() {
		_ = Disarm(name) // known: it was just listed
	}
}

func lookup(name string) *Point {
	registry.Lock()
	defer registry.Unlock()
	return registry.points[name]
}

// Names lists the declared points in order.
func Names() []string {
	registry.Lock()
	defer registry.Unlock()
	names := make([]string, 0, len(registry.points))
	for name := range registry.points {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Info describes one point.
type Info struct {
	Name   string   `json:"name"`
	Armed  []string `json:"armed,omitempty"` // text form of each arming
	Passes uint64   `json:"passes"`          // counted only while it was armed
	Fired  uint64   `json:"fired"`           // passes that were affected
}

// Points describes every declared point, in order of the names.
func Points() []Info {
	names := Names()
	infos := make([]Info, 0, len(names))
	for _, name := range names {
		p := lookup(name)
		in := Info{Name: name, Passes: p.passes.Load(), Fired: p.fired.Load()}
		if list := p.armed.Load(); list != nil {
			for _, a := range *list {
				in.Armed = append(in.Armed, a.spec.String())
			}
		}
		infos = append(infos, in)
	}
	return infos
}

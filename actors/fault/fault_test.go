package fault

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	one = New("test.one")
	two = New("test.two")

	concurrent = New("test.concurrent")
)

// arm arms a point until the test ends.
func arm(t *testing.T, name, text string) {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	disarm, err := Arm(name, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(disarm)
}

// hit passes the point and says whether it panicked.
func hit(p *Point) (hit bool) {
	defer func() {
		if v := recover(); v != nil {
			if _, ok := v.(*Injected); !ok {
				panic(v)
			}
			hit = true
		}
	}()
	p.Hit()
	return false
}

func TestDisarmedPointDoesNothing(t *testing.T) {
	one.Hit()
	one.HitOn(1)
	if err := errors.Join(one.Err(), one.ErrOn(1)); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { one.Hit(); _ = one.Err() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Which of ten passes are affected.
func TestWhichPasses(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"panic", "xxxxxxxxxx"},
		{"panic once", "x........."},
		{"panic times 3", "xxx......."},
		{"panic on 3", "..x......."},
		{"panic on 3 times 2", "..xx......"},
		{"error on 9 times 5", "........xx"},
		{"error 100%", "xxxxxxxxxx"},
	} {
		t.Run(tc.text, func(t *testing.T) {
			arm(t, "test.one", tc.text)
			got := ""
			for range 10 {
				if hit(one) {
					got += "x"
				} else {
					got += "."
				}
			}
			if got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if hit(two) {
				t.Error("the other point is armed too")
			}
		})
	}
	if hit(one) {
		t.Error("armed after the test's end")
	}
}

func TestProbability(t *testing.T) {
	arm(t, "test.one", "error 25%")
	const passes = 20000
	n := 0
	for range passes {
		if one.Err() != nil {
			n++
		}
	}
	if n < passes/5 || n > passes*3/10 { // 16 standard deviations
		t.Errorf("%d of %d at 25%%", n, passes)
	}
}

func TestErrors(t *testing.T) {
	errDisk := errors.New("disk full")
	disarm, err := Arm("test.one", Spec{Action: Error, Err: errDisk})
	if err != nil {
		t.Fatal(err)
	}
	defer disarm()
	err = one.Err()
	var injected *Injected
	if !errors.Is(err, errDisk) || !errors.As(err, &injected) || injected.Point != "test.one" {
		t.Errorf("got %v", err)
	}
	arm(t, "test.two", "error")
	if err := two.Err(); !errors.Is(err, ErrInjected) || err.Error() != "fault test.two: injected fault" {
		t.Errorf("got %v", err)
	}
}

func TestPanicOnErr(t *testing.T) {
	arm(t, "test.one", "panic")
	defer func() {
		if err, ok := recover().(error); !ok || !errors.Is(err, ErrInjected) {
			t.Errorf("recovered %v", err)
		}
	}()
	_ = one.Err()
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tc := range []struct {
			text string
			fail bool
		}{{"delay 20ms", false}, {"error after 20ms", true}} {
			s, err := Parse(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			disarm, err := Arm("test.one", s)
			if err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			if err := one.Err(); (err != nil) != tc.fail {
				t.Errorf("%s: %v", tc.text, err)
			}
			if d := time.Since(begun); d != 20*time.Millisecond {
				t.Errorf("%s took %v", tc.text, d)
			}
			disarm()
		}
	})
}

func TestExit(t *testing.T) {
	if os.Getenv("FAULT_TEST_EXIT") != "" {
		if _, err := ArmText(os.Getenv("FAULT_TEST_EXIT")); err != nil {
			t.Fatal(err)
		}
		one.Hit()
		one.Hit()
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestExit$")
	cmd.Env = append(os.Environ(), "FAULT_TEST_EXIT=test.one=exit on 2")
	out, err := cmd.CombinedOutput()
	var ee *exec.ExitError
	if !errors.As(err, &ee) || ee.ExitCode() != ExitStatus || !strings.Contains(string(out), "fault test.one: exit") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestMatch(t *testing.T) {
	disarm, err := Arm("test.one", Spec{Action: Error, OnNth: 2, Match: func(s any) bool { return s == "c1" }})
	if err != nil {
		t.Fatal(err)
	}
	defer disarm()
	var got []string
	for _, id := range []string{"c1", "c2", "c2", "c1", "c1"} {
		got = append(got, fmt.Sprint(one.ErrOn(id) != nil))
	}
	if want := []string{"false", "false", "false", "true", "false"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v: only matching passes count", got, want)
	}
}

func TestSeveralArmings(t *testing.T) {
	first, err := Arm("test.one", Spec{Action: Error, Times: 1, Err: errors.New("first")})
	if err != nil {
		t.Fatal(err)
	}
	second, err := Arm("test.one", Spec{Action: Error, Err: errors.New("second")})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first", "second", "second"} {
		if err := one.Err(); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	first()
	first()
	if one.Err() == nil {
		t.Error("taking the first back took the second with it")
	}
	second()
	if one.Err() != nil || one.armed.Load() != nil {
		t.Error("still armed")
	}
}

func TestRefused(t *testing.T) {
	if _, err := Arm("test.none", Spec{Action: Panic}); !errors.Is(err, ErrUnknownPoint) || !strings.Contains(err.Error(), "test.concurrent, test.one, test.two") {
		t.Errorf("unknown point: %v", err)
	}
	if err := Disarm("test.none"); !errors.Is(err, ErrUnknownPoint) {
		t.Errorf("unknown point: %v", err)
	}
	for _, s := range []Spec{
		{},
		{Action: 99},
		{Action: Delay},
		{Action: Panic, Delay: -1},
		{Action: Panic, Probability: 2},
		{Action: Panic, Probability: -1},
	} {
		if _, err := Arm("test.one", s); !errors.Is(err, ErrBadSpec) {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for _, text := range []string{"test.one", "test.one=", "test.one=panic; test.none=panic", "test.one=panic;test.two=frob"} {
		if _, err := ArmText(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
		if one.armed.Load() != nil {
			t.Fatalf("%q is refused but has armed", text)
		}
	}
}

func TestArmTextAndPoints(t *testing.T) {
	disarm, err := ArmText(" test.one=panic 10% ; test.two = error on 3 times 2;")
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		_ = two.Err()
	}
	find := func() Info {
		i := slices.IndexFunc(Points(), func(in Info) bool { return in.Name == "test.two" })
		return Points()[i]
	}
	fired := find().Fired
	if in := find(); !slices.Equal(in.Armed, []string{"error on 3 times 2"}) || in.Passes < 5 {
		t.Errorf("got %+v", in)
	}
	disarm()
	if in := find(); in.Armed != nil || in.Fired != fired {
		t.Errorf("after disarm %+v", in)
	}
	arm(t, "test.one", "panic")
	DisarmAll()
	one.Hit()
	if names := Names(); !slices.IsSorted(names) || !slices.Contains(names, "test.one") {
		t.Errorf("names %v", names)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, name := range []string{"", "a b", "a=b", "a;b", "test.one"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("New(%q) is accepted", name)
				}
			}()
			New(name)
		}()
	}
}

func TestConcurrentUse(t *testing.T) {
	disarm, err := Arm("test.concurrent", Spec{Action: Error, Times: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer disarm()
	var wg sync.WaitGroup
	var mu sync.Mutex
	n := 0
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if concurrent.Err() != nil {
					mu.Lock()
					n++
					mu.Unlock()
				}
				d, err := Arm("test.concurrent", Spec{Action: Delay, Delay: 1, Match: func(any) bool { return false }})
				if err != nil {
					t.Error(err)
				}
				d()
			}
		})
	}
	wg.Wait()
	if n != 100 {
		t.Errorf("%d errors, want exactly 100", n)
	}
}

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		text string
		want Spec // Err and Probability 1 are filled in
		form string
	}{
		{"panic", Spec{Action: Panic}, "panic"},
		{"panic once", Spec{Action: Panic, Times: 1}, "panic times 1"},
		{"  panic   10% ", Spec{Action: Panic, Probability: 0.1}, "panic 10%"},
		{"error on 3 times 2", Spec{Action: Error, OnNth: 3, Times: 2}, "error on 3 times 2"},
		{"error on 3", Spec{Action: Error, OnNth: 3, Times: 1}, "error on 3 times 1"},
		{"delay 20ms", Spec{Action: Delay, Delay: 20 * time.Millisecond}, "delay 20ms"},
		{"delay 1s 0.5% once", Spec{Action: Delay, Delay: time.Second, Times: 1, Probability: 0.005}, "delay 1s times 1 0.5%"},
		{"exit on 100", Spec{Action: Exit, OnNth: 100, Times: 1}, "exit on 100 times 1"},
		{"panic after 5ms 100%", Spec{Action: Panic, Delay: 5 * time.Millisecond}, "panic after 5ms"},
	} {
		got, err := Parse(tc.text)
		if err != nil {
			t.Errorf("%q: %v", tc.text, err)
			continue
		}
		if tc.want.Probability == 0 {
			tc.want.Probability = 1
		}
		if got.Action != tc.want.Action || got.OnNth != tc.want.OnNth || got.Times != tc.want.Times ||
			got.Probability != tc.want.Probability || got.Delay != tc.want.Delay {
			t.Errorf("%q: %+v, want %+v", tc.text, got, tc.want)
		}
		if got.String() != tc.form {
			t.Errorf("%q: written %q, want %q", tc.text, got.String(), tc.form)
		}
	}
	for _, text := range []string{
		"", "frob", "panic twice", "panic 0%", "panic 101%", "panic NaN%", "panic %", "panic on", "panic on 0",
		"panic on x", "panic times -1", "panic once once", "panic once times 2", "panic 1% 2%", "delay", "delay x",
		"delay -1s", "delay 1s after 2s", "panic after", "panic after 0s", "error on 1 on 2",
	} {
		if s, err := Parse(text); !errors.Is(err, ErrBadSpec) {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
	}
}

// What is accepted can be written and read again with the same meaning.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"panic once", "panic 10%", "error on 3 times 2", "delay 20ms 50%", "exit after 1s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(s.String())
		if err != nil {
			t.Fatalf("%q is written %q: %v", text, s.String(), err)
		}
		if again.String() != s.String() {
			t.Fatalf("%q is written %q, then %q", text, s.String(), again.String())
		}
	})
}

func BenchmarkDisarmed(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		one.Hit()
	}
}

package kernel

import (
	"context"
	"log/slog"
	"time"
)

type kind struct{ name string }
type template struct {
	sys  *System
	kind *kind
}
type cell struct {
	t      *template
	parent *cell
}
type finish struct{}
type System struct {
	log  *slog.Logger
	done chan struct{}
}
type link struct{}
type pending[T any] struct{ link link }
type wheelState struct{}

func (c *cell) name() string                     { return "" }
func (c *cell) path() string                     { return "" }
func (c *cell) post(any, bool) bool              { return false }
func (c *cell) stop()                            {}
func (c *cell) alive() bool                      { return false }
func (c *cell) waiting() int                     { return 0 }
func (c *cell) childRefs() []Ref                 { return nil }
func (c *cell) childCount() int                  { return 0 }
func watch(*cell, Ref)                           {}
func unwatch(*cell, Ref)                         {}
func gone(Ref) <-chan struct{}                   { return nil }
func newSystem(Config) *System                   { return &System{} }
func (s *System) spawn(*cell, Spec) (Ref, error) { return Ref{}, ErrStopped }
func (s *System) root(string) Ref                { return Ref{} }
func (s *System) shutdown(context.Context) error { return nil }
func (s *System) endErr() error                  { return nil }
func (s *System) tree(int) []TreeNode            { return nil }
func (s *System) stats() Stats                   { return Stats{} }
func (p *pending[T]) settle(T, error) bool       { return false }
func (p *pending[T]) open() bool                 { return false }
func delegate(*link, Ref)                        {}
func doCall[T any](context.Context, Ref, func(Reply[T]) any) (T, error) {
	var z T
	return z, ErrStopped
}
func doAsk[T any](from, to Ref, request func(Reply[T]) any, answer func(T, error) any) {}
func newWheel(WheelConfig, bool) *Wheel                                                { return &Wheel{} }
func (w *wheelState) set(*Timer, time.Duration, Ref, any)                              {}
func (w *wheelState) cancel(*Timer) bool                                               { return false }
func (w *wheelState) isSet(*Timer) bool                                                { return false }
func (w *wheelState) len() int                                                         { return 0 }
func (w *wheelState) advance(time.Duration) int                                        { return 0 }
func (w *wheelState) close()                                                           {}

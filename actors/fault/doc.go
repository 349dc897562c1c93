// Package fault holds named points at which a test, an operator or the
// environment can make the broker fail: panic, return an error, stall or exit.
//
// A package declares its points once and passes through them:
//
//	var deliver = fault.New("session.deliver")
//
//	func (s *session) deliver(m *message.Message) error {
//		if err := deliver.Err(); err != nil {
//			return err
//		}
//
// A disarmed point costs one atomic load. Points are armed by name, with a
// [Spec] or in its text form, see [Parse]:
//
//	panic once            the next pass panics, the ones after it do not
//	panic 10%             one pass in ten, at random
//	error on 3 times 2    passes 3 and 4 return ErrInjected
//	delay 20ms            every pass takes 20 ms longer
//	exit on 100           the 100th pass ends the process with status 86
//
// Arming an unknown name is refused: a test with a misspelt point must fail
// rather than test nothing. A point may be armed several times over; the first
// arming that applies to a pass is used. Nothing here is armed by itself.
package fault

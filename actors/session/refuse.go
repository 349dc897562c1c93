package session

// Refuse acknowledges a PUBLISH that is not routed, with a code of 0x80 and
// above, in its turn among the acknowledgements [MQTT-4.6.0-2] [MQTT-4.6.0-3].
// kind is Puback or Pubrec. Errors and blocking as for Publish.
func (h *Handle) Refuse(kind AckKind, id uint16, code byte) error {
	if h.reading.Load() {
		h.reading.Store(false)
	}
	if h.closed.Load() {
		return ErrClosed
	}
	r, err := h.acks.begin(kind, id, h.s.limits().ReceiveMaximum, h.client.Version == 5)
	if err != nil {
		return err
	}
	h.acks.finish(r, code)
	return nil
}

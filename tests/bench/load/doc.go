// Package load makes MQTT traffic and checks what comes back: publishers and
// subscribers of its own over plain TCP, cheap enough to share two cores with
// the broker under test.
//
// # How it works
//
// Every message carries, at the head of its payload, the publisher's number,
// its sequence number and the time it was sent. A subscriber checks that the
// sequence numbers of each publisher arrive in order, none twice and none
// missing (see Sequence).
//
// A closed loop bounds what is on its way: a publisher stops while Window of
// its messages have not yet reached all their subscribers, and for QoS 1 and 2
// have not yet been acknowledged. A paced publisher sends at a fixed rate and
// the time from send to receipt is kept.
//
// # Cost
//
// A publisher patches a ready-made packet and writes as many as its window
// lets it in one system call. A subscriber reads up to 64 KiB at a time, parses
// in place, and answers a whole read's packets in one write. Nothing is
// allocated per message.
//
// # Goroutines
//
// One writes and one reads for each publisher with QoS above 0, or one writes
// for QoS 0; one reads for each subscriber. The counters between them are
// atomic; a publisher that waits for room is woken through a channel of
// capacity one, and only when the room it waits for is there.
package load

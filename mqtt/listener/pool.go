package listener

import "sync"

// buffer is a slice on loan from the pools. Its owner may replace b by what
// append returned.
type buffer struct{ b []byte }

// bufferSizes are the size classes. A connection's output starts in the smallest
// class that its last burst would have fitted, its input in readSize.
var bufferSizes = [...]int{512, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20}

const (
	readSize    = 16 << 10 // first input buffer
	readSizeBig = 64 << 10 // after a read that filled the first

	// maxPooled is the largest buffer that goes back to a pool: a few slow
	// consumers must not leave megabytes behind for ever.
	maxPooled = 1 << 20
)

var bufferPools = func() (pools [len(bufferSizes)]*sync.Pool) {
	for i, size := range bufferSizes {
		pools[i] = &sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, size)} }}
	}
	return pools
}()

// sizeClass is the smallest class whose buffers hold n bytes, and
// len(bufferSizes) if none does.
func sizeClass(n int) int {
	for i, size := range bufferSizes {
		if n <= size {
			return i
		}
	}
	return len(bufferSizes)
}

// getBuffer returns an empty buffer that holds at least n bytes.
func getBuffer(n int) *buffer {
	if class := sizeClass(n); class < len(bufferSizes) {
		return bufferPools[class].Get().(*buffer)
	}
	return &buffer{b: make([]byte, 0, n)}
}

// putBuffer takes a buffer back. The caller must not use it, or what it held,
// any more. Slices that append has enlarged go to the largest class they can
// serve.
func putBuffer(buf *buffer) {
	size := cap(buf.b)
	if size > maxPooled || size < bufferSizes[0] {
		return
	}
	for i := len(bufferSizes) - 1; i >= 0; i-- {
		if size >= bufferSizes[i] {
			buf.b = buf.b[:0]
			bufferPools[i].Put(buf)
			return
		}
	}
}

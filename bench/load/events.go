package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// What the events of the file hold in place of a message id and of a number of a person. They have
// the width of what comes there, so that no length within a message changes.
var (
	idMark     = []byte("@@@@@@@@@@@@@@@@@@@@@@@@@@")
	personMark = []byte("%%%%%%%%")
)

type template struct {
	bytes   []byte
	ids     []int
	persons []int
}

// events makes messages of serialised events, each with an id that never was before.
type events struct {
	templates []template
	people    int64
	batch     int
	run       int64
	made      int64
}

// readEvents reads a file of events, each behind its length (4 bytes, big-endian).
func readEvents(path string, people int64, batch int) (*events, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	found := &events{people: people, batch: batch, run: time.Now().UnixMilli()}
	for len(data) >= 4 {
		size := int(binary.BigEndian.Uint32(data))
		if size > len(data)-4 {
			return nil, fmt.Errorf("%s is cut short", path)
		}
		event := data[4 : 4+size]
		found.templates = append(found.templates, template{event, places(event, idMark), places(event, personMark)})
		data = data[4+size:]
	}
	if len(found.templates) == 0 {
		return nil, fmt.Errorf("%s holds no events", path)
	}
	return found, nil
}

func places(event, mark []byte) []int {
	var found []int
	for from := 0; ; {
		at := bytes.Index(event[from:], mark)
		if at < 0 {
			return found
		}
		found = append(found, from+at)
		from += at + len(mark)
	}
}

// next makes a message: the fields that stand before the events, and the next batch of them.
// `field` is the number of the field that holds events.
func (e *events) next(head []byte, field byte) []byte {
	size := len(head)
	for i := range e.batch {
		size += 6 + len(e.templates[(e.made+int64(i))%int64(len(e.templates))].bytes)
	}
	message := append(make([]byte, 0, size), head...)
	for range e.batch {
		chosen := e.templates[e.made%int64(len(e.templates))]
		message = append(message, field<<3|2)
		message = binary.AppendUvarint(message, uint64(len(chosen.bytes)))
		start := len(message)
		message = append(message, chosen.bytes...)
		for _, at := range chosen.ids {
			// 26 digits are a ULID as well.
			digits(message[start+at:start+at+13], e.run)
			digits(message[start+at+13:start+at+26], e.made)
		}
		for _, at := range chosen.persons {
			digits(message[start+at:start+at+len(personMark)], e.made%e.people)
		}
		e.made++
	}
	return message
}

func digits(place []byte, number int64) {
	for i := len(place) - 1; i >= 0; i-- {
		place[i] = byte('0' + number%10)
		number /= 10
	}
}

// raw passes messages on as the bytes that they are.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(value any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(value.([]byte))}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, value any) error {
	*value.(*[]byte) = data.Materialize()
	return nil
}

var _ encoding.CodecV2 = raw{}

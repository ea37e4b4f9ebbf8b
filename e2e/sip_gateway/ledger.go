package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"sync"
)

const maxLogLineBytes = 1 << 20

// ledger holds every call the gateway was asked for, in order. It is the witness that nobody is dialed twice, so
// with a file each change is on disk before anything follows from it: a gateway killed right after still tells.
type ledger struct {
	mu      sync.Mutex
	records []*Record
	byID    map[string]*Record
	file    *os.File // nil without --invite-log
}

// openLedger reads what an earlier gateway wrote to the same file, so that the order goes on where it stopped.
func openLedger(path string) (*ledger, error) {
	l := &ledger{byID: map[string]*Record{}}
	if path == "" {
		return l, nil
	}
	if err := l.load(path); err != nil {
		return nil, fmt.Errorf("read invite log: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	l.file = file
	return l, err
}

func (l *ledger) load(path string) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxLogLineBytes)
	for lines.Scan() {
		var record Record
		if json.Unmarshal(lines.Bytes(), &record) != nil {
			continue // the torn last line of a killed gateway: its call was never acted on
		}
		l.keep(&record)
	}
	return lines.Err()
}

func (l *ledger) keep(record *Record) {
	if known := l.byID[record.ID]; known != nil {
		*known = *record
		return
	}
	l.records = append(l.records, record)
	l.byID[record.ID] = record
}

// add writes a new call down and returns only when it is safe on disk.
func (l *ledger) add(record Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byID[record.ID] != nil {
		return fmt.Errorf("call %s was asked for twice", record.ID)
	}
	record.Seq = 1
	if n := len(l.records); n > 0 {
		record.Seq = l.records[n-1].Seq + 1
	}
	l.keep(&record)
	return l.persist(&record)
}

// update changes one call's record. An id that was forgotten by clear is ignored: its call may outlive a test.
func (l *ledger) update(id string, change func(*Record)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	record := l.byID[id]
	if record == nil {
		return
	}
	change(record)
	if err := l.persist(record); err != nil {
		fmt.Fprintln(os.Stderr, "invite log:", err)
	}
}

// persist appends the record as it stands: the last line of an id is its state, the first one its INVITE.
func (l *ledger) persist(record *Record) error {
	if l.file == nil {
		return nil
	}
	line, err := json.Marshal(record.snapshot())
	if err != nil {
		return err
	}
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return err
	}
	return l.file.Sync()
}

func (l *ledger) get(id string) (Record, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	record := l.byID[id]
	if record == nil {
		return Record{}, false
	}
	return record.snapshot(), true
}

// list returns the calls of one direction that came after seq.
func (l *ledger) list(direction string, seq int) []Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := []Record{}
	for _, record := range l.records {
		if record.Direction == direction && record.Seq > seq {
			found = append(found, record.snapshot())
		}
	}
	return found
}

// clear forgets the calls in memory; the file keeps them.
func (l *ledger) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records, l.byID = nil, map[string]*Record{}
}

// snapshot shares nothing that later appends could change under a reader, and has no null for a list.
func (r *Record) snapshot() Record {
	c := *r
	c.Events = append([]Event{}, r.Events...)
	c.DTMFReceived = append([]Digit{}, r.DTMFReceived...)
	c.DTMFSent = append([]Digit{}, r.DTMFSent...)
	c.Transfers = append([]TransferRecord{}, r.Transfers...)
	c.Attributes, c.Headers = cloned(r.Attributes), cloned(r.Headers)
	return c
}

func cloned(values map[string]string) map[string]string {
	copied := make(map[string]string, len(values))
	maps.Copy(copied, values)
	return copied
}

package main

import (
	"context"
	"time"
)

// clock is the only source of time for everything that decides, so that tests can run on virtual time.
type clock interface {
	Now() time.Time
	// Sleep waits for d, or returns the cause of ctx's end if that comes first.
	Sleep(ctx context.Context, d time.Duration) error
	// AfterFunc runs f once after d unless the returned stop is called first.
	AfterFunc(d time.Duration, f func()) (stop func())
}

type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

func (wallClock) Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (wallClock) AfterFunc(d time.Duration, f func()) func() {
	timer := time.AfterFunc(d, f)
	return func() { timer.Stop() }
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }

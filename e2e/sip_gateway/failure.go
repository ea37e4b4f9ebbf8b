package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/psrpc"
)

// failure is an INVITE that didn't become a call, told as LiveKit's SIP service tells it: an error for the API and a
// disconnect reason for the room.
type failure struct {
	outcome Outcome
	sip     Reject // of a rejection
	reason  livekit.DisconnectReason
	err     error
}

// rejected maps a final SIP answer. Only these carry a code to the client; every other failure comes without one.
func rejected(sip Reject) failure {
	status := &livekit.SIPStatus{Code: livekit.SIPStatusCode(sip.Status), Status: sip.Text}
	f := failure{outcome: outcomeRejected, sip: sip, reason: rejectionReason(sip)}
	switch sip.Status {
	case 401, 407:
		// The service answers the challenge itself and has no credentials here: the code never reaches the client.
		f.err = psrpc.NewError(psrpc.FailedPrecondition,
			errors.New("server required auth, but no username or password was provided"))
	case 400, 404, 480, 486, 488:
		f.err = fmt.Errorf("INVITE failed: %w", status)
	default:
		f.err = fmt.Errorf("unexpected status from INVITE response: %w", status)
	}
	return f
}

func rejectionReason(sip Reject) livekit.DisconnectReason {
	switch {
	case sip.Status == 404 || sip.Status == 408 || sip.Status == 480:
		return livekit.DisconnectReason_USER_UNAVAILABLE
	case sip.Status >= 500 && sip.Status < 600 && !namesTrunkLimit(sip.Text):
		return livekit.DisconnectReason_UNKNOWN_REASON // the service counts it as a dropped call
	default:
		return livekit.DisconnectReason_USER_REJECTED
	}
}

// namesTrunkLimit knows the texts by which carriers say that the trunk, not the callee, is busy.
func namesTrunkLimit(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, "cps limit exceeded") || strings.Contains(text, "concurrent call limit exceeded")
}

// canceled is a ring cut short: by the ringing timeout, the RPC's deadline or the room's end. All read alike.
func canceled(outcome Outcome) failure {
	return failure{
		outcome: outcome,
		reason:  livekit.DisconnectReason_USER_UNAVAILABLE,
		err:     psrpc.NewError(psrpc.Canceled, errors.New("sip request timed out")),
	}
}

func noResponse(provisionals int) failure {
	return failure{
		outcome: outcomeNoResponse,
		reason:  livekit.DisconnectReason_USER_UNAVAILABLE,
		err: psrpc.NewErrorf(psrpc.Canceled,
			"transaction failed to complete (%d intermediate responses)", provisionals),
	}
}

func joinFailed(err error) failure {
	return failure{
		outcome: outcomeFailed,
		err:     psrpc.NewError(psrpc.Internal, fmt.Errorf("update room failed: %w", err)),
	}
}

// interrupted tells why waiting stopped while the phone rang.
func interrupted(ctx context.Context) failure {
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return canceled(outcomeNoAnswer)
	}
	return canceled(outcomeCanceled)
}

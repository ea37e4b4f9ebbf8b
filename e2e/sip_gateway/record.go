package main

import "time"

// Outcome is how an INVITE ended, or stands.
type Outcome string

const (
	outcomePending    Outcome = "pending"
	outcomeAnswered   Outcome = "answered"
	outcomeRejected   Outcome = "rejected"    // a final SIP answer other than 2xx: see status_code
	outcomeNoAnswer   Outcome = "no_answer"   // the ringing timeout canceled it
	outcomeCanceled   Outcome = "canceled"    // the room or participant went away while it rang
	outcomeNoResponse Outcome = "no_response" // the INVITE transaction timed out
	outcomeFailed     Outcome = "failed"      // the gateway couldn't join the room: nothing was dialed
	outcomeHung       Outcome = "hung"        // the fault "hang": nothing was dialed
)

// EndedBy names who ended an answered call.
type EndedBy string

const (
	endedByCallee      EndedBy = "callee"       // a clean BYE
	endedByDrop        EndedBy = "drop"         // the media died
	endedByRoom        EndedBy = "room"         // removed from the room, or the room is gone
	endedByTransfer    EndedBy = "transfer"     // the REFER succeeded
	endedByMaxDuration EndedBy = "max_duration" // the request's max_call_duration
	endedByShutdown    EndedBy = "shutdown"     // SIGTERM to the gateway
)

// Digit is one DTMF key and when it came, counted from the answer.
type Digit struct {
	Digit string `json:"digit"`
	AtMS  int64  `json:"at_ms"`
}

// Event is something the callee did, counted from the answer.
type Event struct {
	AtMS int64  `json:"at_ms"`
	What string `json:"what"`
}

// TransferRecord is one REFER and what came of it.
type TransferRecord struct {
	To         string            `json:"to"`
	Headers    map[string]string `json:"headers,omitempty"`
	At         time.Time         `json:"at"`
	StatusCode int               `json:"status_code"`
}

// Record is one call: what was asked, and what became of it. Outbound records are the INVITEs.
type Record struct {
	Seq       int    `json:"seq"`
	ID        string `json:"id"`
	Direction string `json:"direction"`

	TrunkID             string            `json:"trunk_id"`
	RuleID              string            `json:"rule_id,omitempty"`
	Address             string            `json:"address,omitempty"`
	FromNumber          string            `json:"from_number"`
	CallTo              string            `json:"call_to"`
	DisplayName         string            `json:"display_name,omitempty"`
	Room                string            `json:"room"`
	ParticipantIdentity string            `json:"participant_identity"`
	ParticipantName     string            `json:"participant_name,omitempty"`
	Attributes          map[string]string `json:"attributes"`
	Headers             map[string]string `json:"headers"`
	RingingTimeoutMS    int64             `json:"ringing_timeout_ms"`
	MaxCallDurationMS   int64             `json:"max_call_duration_ms"`
	WaitUntilAnswered   bool              `json:"wait_until_answered"`
	DTMFOnAnswer        string            `json:"dtmf_on_answer,omitempty"`

	AskedAt    time.Time  `json:"asked_at"`
	RingingAt  *time.Time `json:"ringing_at"`
	AnsweredAt *time.Time `json:"answered_at"`
	EndedAt    *time.Time `json:"ended_at"`
	Outcome    Outcome    `json:"outcome"`
	StatusCode int        `json:"status_code"`
	StatusText string     `json:"status_text"`
	EndedBy    EndedBy    `json:"ended_by"`
	Error      string     `json:"error"`

	Events       []Event          `json:"events"`
	DTMFReceived []Digit          `json:"dtmf_received"`
	DTMFSent     []Digit          `json:"dtmf_sent"`
	Transfers    []TransferRecord `json:"transfers"`
	Heard
}

// sinceAnswer is the record's clock for events; it is zero until the call is answered.
func (r *Record) sinceAnswer(now time.Time) int64 {
	if r.AnsweredAt == nil {
		return 0
	}
	return now.Sub(*r.AnsweredAt).Milliseconds()
}

package main

import (
	"net/http"
)

// CallView is a call with all that the record leaves out for length.
type CallView struct {
	Record
	State        state `json:"state"`
	EnvelopeDBFS []int `json:"envelope_dbfs"` // of each 100 ms since the answer
}

func (c control) getCalls(*http.Request) (any, error) {
	views := []CallView{}
	for _, live := range c.gateway.liveCalls() {
		record, _ := c.gateway.ledger.get(live.id)
		views = append(views, CallView{Record: c.gateway.view(record), State: live.current()})
	}
	return views, nil
}

func (c control) getCall(r *http.Request) (any, error) {
	record, known := c.gateway.ledger.get(r.PathValue("id"))
	if !known {
		return nil, httpError{http.StatusNotFound, "no such call"}
	}
	view := CallView{Record: c.gateway.view(record), State: stateEnded}
	if remembered := c.gateway.remembered(record.ID); remembered != nil {
		view.State, view.EnvelopeDBFS = remembered.current(), remembered.ear.envelope()
	}
	return view, nil
}

func (c control) getHeard(w http.ResponseWriter, r *http.Request) {
	remembered := c.gateway.remembered(r.PathValue("id"))
	if remembered == nil {
		http.Error(w, "no such call", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "audio/wav")
	_, _ = w.Write(remembered.ear.wave())
}

// postInbound makes a call come in and tells its record: pending with a room, or refused.
func (c control) postInbound(r *http.Request) (any, error) {
	text, err := body(r)
	if err != nil {
		return nil, err
	}
	request, err := parseInbound(text)
	if err != nil {
		return nil, err
	}
	id, err := c.gateway.receive(r.Context(), request)
	if err != nil {
		return nil, err
	}
	record, _ := c.gateway.ledger.get(id)
	return record, nil
}

func (c control) answered(r *http.Request) (*call, error) {
	live := c.gateway.live(r.PathValue("id"))
	if live == nil {
		return nil, httpError{http.StatusNotFound, "no such call"}
	}
	if !live.current().answered() {
		return nil, httpError{http.StatusConflict, "the call isn't answered"}
	}
	return live, nil
}

func (c control) postHangUp(r *http.Request) (any, error) {
	live, err := c.answered(r)
	if err != nil {
		return nil, err
	}
	live.end(endedByCallee)
	return "ok", nil
}

func (c control) postDTMF(r *http.Request) (any, error) {
	var request Digits
	live, err := c.command(r, &request)
	if err != nil {
		return nil, err
	}
	return "ok", live.press(request.Digits)
}

// postSay returns when the callee has said it.
func (c control) postSay(r *http.Request) (any, error) {
	var request struct {
		Text string `json:"text"`
	}
	live, err := c.command(r, &request)
	if err != nil {
		return nil, err
	}
	return "ok", live.say(request.Text)
}

func (c control) command(r *http.Request, into any) (*call, error) {
	live, err := c.answered(r)
	if err != nil {
		return nil, err
	}
	text, err := body(r)
	if err != nil {
		return nil, err
	}
	return live, decodeStrictly(text, into)
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

const maxBodyBytes = 1 << 20

// control is the HTTP side by which tests write the script and read what happened.
type control struct{ gateway *gateway }

func (c control) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", reply(func(*http.Request) (any, error) { return "ok", nil }))
	mux.HandleFunc("PUT /script", reply(c.putScript))
	mux.HandleFunc("DELETE /script", reply(c.deleteScript))
	mux.HandleFunc("PUT /numbers/{number}", reply(c.putNumber))
	mux.HandleFunc("PUT /fault", reply(c.putFault))
	mux.HandleFunc("GET /invites", reply(c.list(outbound)))
	mux.HandleFunc("GET /inbound", reply(c.list(inbound)))
	mux.HandleFunc("DELETE /invites", reply(c.deleteInvites))
	mux.HandleFunc("POST /inbound", reply(c.postInbound))
	mux.HandleFunc("GET /calls", reply(c.getCalls))
	mux.HandleFunc("GET /calls/{id}", reply(c.getCall))
	mux.HandleFunc("GET /calls/{id}/heard.wav", c.getHeard)
	mux.HandleFunc("POST /calls/{id}/hangup", reply(c.postHangUp))
	mux.HandleFunc("POST /calls/{id}/dtmf", reply(c.postDTMF))
	mux.HandleFunc("POST /calls/{id}/say", reply(c.postSay))
	return mux
}

// httpError is a refusal with its status; any other error is the request's fault.
type httpError struct {
	status int
	text   string
}

func (e httpError) Error() string { return e.text }

func reply(handle func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := handle(r)
		status := http.StatusOK
		if err != nil {
			status = http.StatusBadRequest
			if known := (httpError{}); errors.As(err, &known) {
				status = known.status
			}
			answer = map[string]string{"error": err.Error()}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(answer) // the client is gone if this fails
	}
}

func body(r *http.Request) ([]byte, error) { return io.ReadAll(io.LimitReader(r.Body, maxBodyBytes)) }

func (c control) putScript(r *http.Request) (any, error) {
	text, err := body(r)
	if err != nil {
		return nil, err
	}
	var rules Script
	if err := decodeStrictly(text, &rules); err != nil {
		return nil, err
	}
	if err := rules.Default.validate(); err != nil {
		return nil, err
	}
	c.gateway.script.set(rules)
	return rules, nil
}

func (c control) deleteScript(*http.Request) (any, error) {
	c.gateway.script.reset()
	c.gateway.faults.set(Fault{Mode: faultNone})
	return "ok", nil
}

func (c control) putNumber(r *http.Request) (any, error) {
	text, err := body(r)
	if err != nil {
		return nil, err
	}
	behaviours, err := parseBehaviours(text)
	if err != nil {
		return nil, err
	}
	c.gateway.script.setNumber(r.PathValue("number"), behaviours)
	return behaviours, nil
}

func (c control) putFault(r *http.Request) (any, error) {
	text, err := body(r)
	if err != nil {
		return nil, err
	}
	fault, err := parseFault(text)
	if err != nil {
		return nil, err
	}
	c.gateway.faults.set(fault)
	return fault, nil
}

func (c control) list(direction string) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		since := 0
		if text := r.URL.Query().Get("since"); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil {
				return nil, fmt.Errorf("since: %w", err)
			}
			since = n
		}
		records := c.gateway.ledger.list(direction, since)
		for i := range records {
			records[i] = c.gateway.view(records[i])
		}
		return records, nil
	}
}

func (c control) deleteInvites(*http.Request) (any, error) {
	c.gateway.ledger.clear()
	return "ok", nil
}

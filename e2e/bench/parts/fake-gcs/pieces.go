package main

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// pieces takes objects that come in several, as the XML API does: begun, numbered, and put together at the end.
type pieces struct {
	next    http.Handler
	mu      sync.Mutex
	uploads map[string]*sending
}

type sending struct {
	path   string
	pieces map[int][]byte
}

type named struct {
	PartNumber int
	ETag       string
}

func (p *pieces) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	id := query.Get("uploadId")
	switch {
	case r.Method == http.MethodPost && query.Has("uploads"):
		p.begin(w, r.URL.Path)
	case r.Method == http.MethodPut && id != "":
		p.take(w, r, id, query.Get("partNumber"))
	case r.Method == http.MethodPost && id != "":
		p.finish(w, r, id)
	case r.Method == http.MethodDelete && id != "":
		p.forget(id)
		w.WriteHeader(http.StatusNoContent)
	default:
		p.next.ServeHTTP(w, r)
	}
}

func (p *pieces) begin(w http.ResponseWriter, path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := fmt.Sprintf("upload-%d", len(p.uploads)+1)
	p.uploads[id] = &sending{path, map[int][]byte{}}
	answer(w, struct {
		XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
		UploadId string
	}{UploadId: id})
}

func (p *pieces) take(w http.ResponseWriter, r *http.Request, id string, number string) {
	content, err := io.ReadAll(r.Body)
	at, err2 := strconv.Atoi(number)
	p.mu.Lock()
	defer p.mu.Unlock()
	upload := p.uploads[id]
	if err != nil || err2 != nil || at < 1 || upload == nil || upload.path != r.URL.Path {
		refuse(w, "NoSuchUpload")
		return
	}
	upload.pieces[at] = content
	w.Header().Set("ETag", tag(content))
}

func (p *pieces) finish(w http.ResponseWriter, r *http.Request, id string) {
	var wanted struct {
		XMLName xml.Name `xml:"CompleteMultipartUpload"`
		Part    []named
	}
	err := xml.NewDecoder(r.Body).Decode(&wanted)
	p.mu.Lock()
	upload := p.uploads[id]
	p.mu.Unlock()
	if err != nil || upload == nil || upload.path != r.URL.Path {
		refuse(w, "NoSuchUpload")
		return
	}
	whole, isWhole := upload.together(wanted.Part)
	if !isWhole {
		refuse(w, "InvalidPart")
		return
	}
	kept := r.Clone(r.Context())
	kept.Method, kept.URL.RawQuery = http.MethodPut, ""
	kept.Body, kept.ContentLength = io.NopCloser(bytes.NewReader(whole)), int64(len(whole))
	received := &headersOnly{header: http.Header{}, code: http.StatusOK}
	p.next.ServeHTTP(received, kept)
	if received.code != http.StatusOK {
		w.WriteHeader(received.code)
		return
	}
	p.forget(id)
	answer(w, struct {
		XMLName xml.Name `xml:"CompleteMultipartUploadResult"`
		ETag    string
	}{ETag: received.header.Get("ETag")})
}

func (p *pieces) forget(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.uploads, id)
}

// together returns the object if each piece is named in order, by its own tag, and none but the last is too small.
func (s *sending) together(wanted []named) ([]byte, bool) {
	const smallest = 5 << 20
	whole := []byte{}
	for number, part := range wanted {
		content, found := s.pieces[part.PartNumber]
		isOrdered := number == 0 || part.PartNumber > wanted[number-1].PartNumber
		isLarge := number == len(wanted)-1 || len(content) >= smallest
		if !found || !isOrdered || !isLarge || part.ETag != tag(content) {
			return nil, false
		}
		whole = append(whole, content...)
	}
	return whole, len(wanted) > 0
}

func tag(content []byte) string {
	sum := md5.Sum(content)
	return fmt.Sprintf("%q", hex.EncodeToString(sum[:]))
}

func answer(w http.ResponseWriter, body any) {
	text, err := xml.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.Write(text)
}

func refuse(w http.ResponseWriter, code string) {
	http.Error(w, "<Error><Code>"+code+"</Code></Error>", http.StatusBadRequest)
}

// headersOnly keeps what an answer to an upload says: it has no words.
type headersOnly struct {
	header http.Header
	code   int
}

func (h *headersOnly) Header() http.Header            { return h.header }
func (h *headersOnly) Write(text []byte) (int, error) { return len(text), nil }
func (h *headersOnly) WriteHeader(code int)           { h.code = code }

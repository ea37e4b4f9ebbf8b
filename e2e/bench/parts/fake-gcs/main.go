// Command fake-gcs is fsouza's emulator of Google Cloud Storage. Of the XML API's uploads it takes those that are
// signed in their address; here it also takes those that come with a token, as Google does and as clients send them.
// A token has to be signed by the one account that there is, and not to be over; or it is the one that the metadata
// server hands out, which is served here as well.
package main

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

const tokenPath = "/computeMetadata/v1/instance/service-accounts/default/token"

func main() {
	address := flag.String("listen", "127.0.0.1:4443", "where to listen")
	root := flag.String("root", "", "a folder for buckets and objects")
	key := flag.String("key", "", "a PEM file with the public key of the account")
	token := flag.String("token", "", "what the metadata server says to who runs at Google; none by default")
	flag.Parse()
	account, err := readKey(*key)
	if err != nil {
		log.Fatal(err)
	}
	server, err := fakestorage.NewServerWithOptions(fakestorage.Options{
		NoListener:  true,
		StorageRoot: *root,
		PublicHost:  *address,
		Writer:      os.Stderr,
	})
	if err != nil {
		log.Fatal(err)
	}
	xml := &pieces{next: whole(server.HTTPHandler()), uploads: map[string]*sending{}}
	log.Fatal(http.ListenAndServe(*address, withTokens(account, *token, xml)))
}

func readKey(path string) (*rsa.PublicKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("no PEM in %s", path)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	account, isRSA := key.(*rsa.PublicKey)
	if !isRSA {
		return nil, fmt.Errorf("no RSA key in %s", path)
	}
	return account, nil
}

func isGood(account *rsa.PublicKey, token string) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	claims, err2 := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || err2 != nil {
		return false
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	var claim struct{ Exp int64 }
	isSigned := rsa.VerifyPKCS1v15(account, crypto.SHA256, digest[:], signature) == nil
	return isSigned && json.Unmarshal(claims, &claim) == nil && claim.Exp > time.Now().Unix()
}

func withTokens(account *rsa.PublicKey, metadataToken string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == tokenPath && metadataToken != "" && r.Header.Get("Metadata-Flavor") == "Google" {
			fmt.Fprintf(w, `{"access_token": %q, "expires_in": 3599, "token_type": "Bearer"}`, metadataToken)
			return
		}
		token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		isKnown := metadataToken != "" && token == metadataToken
		if !found || !isKnown && !isGood(account, token) {
			http.Error(w, "<Error><Code>AuthenticationRequired</Code></Error>", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func whole(emulator http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut || r.URL.RawQuery != "" {
			emulator.ServeHTTP(w, r)
			return
		}
		upload(emulator, w, r)
	})
}

// upload has the emulator take an object, and answers as the XML API does: with a tag and without words.
func upload(emulator http.Handler, w http.ResponseWriter, r *http.Request) {
	r.URL.RawQuery = "X-Goog-Algorithm=GOOG4-RSA-SHA256"
	answer := httptest.NewRecorder()
	emulator.ServeHTTP(answer, r)
	var object struct{ Etag string }
	if answer.Code != http.StatusOK || json.Unmarshal(answer.Body.Bytes(), &object) != nil {
		http.Error(w, answer.Body.String(), answer.Code)
		return
	}
	w.Header().Set("ETag", fmt.Sprintf("%q", object.Etag))
}

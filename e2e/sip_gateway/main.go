// Command sip_gateway stands in for LiveKit's SIP service and the telephone network behind it in end-to-end tests.
//
// It answers the server's own internal requests on Redis, so a stock livekit-server and a stock API client dial
// through it; the callees are scripted over HTTP. It knows nothing of SIP on the wire.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/livekit/protocol/logger"
	"github.com/livekit/protocol/rpc"
	"github.com/livekit/psrpc"
	"github.com/redis/go-redis/v9"
)

const (
	subscribeTimeout  = 5 * time.Second
	subscribePoll     = 10 * time.Millisecond
	readHeaderTimeout = 5 * time.Second
)

type options struct {
	redisAddress, redisURL, livekitURL, apiKey, apiSecret, controlAddress, inviteLog, logLevel string
	exitWithStdin                                                                              bool
}

// parseOptions reads the flags. Secrets may come by environment instead, where ps doesn't show them.
func parseOptions() options {
	var o options
	env := os.Getenv
	flag.StringVar(&o.redisAddress, "redis-address", "", "host:port of the server's Redis, if it has no password")
	flag.StringVar(&o.redisURL, "redis-url", env("REDIS_URL"), "its URL otherwise; $REDIS_URL")
	flag.StringVar(&o.livekitURL, "livekit-url", env("LIVEKIT_URL"), "ws:// URL of the server; $LIVEKIT_URL")
	flag.StringVar(&o.apiKey, "api-key", env("LIVEKIT_API_KEY"), "LiveKit API key; $LIVEKIT_API_KEY")
	flag.StringVar(&o.apiSecret, "api-secret", env("LIVEKIT_API_SECRET"), "its secret; $LIVEKIT_API_SECRET")
	flag.StringVar(&o.controlAddress, "control-address", "127.0.0.1:0", "host:port for HTTP control; port 0 picks one")
	flag.StringVar(&o.inviteLog, "invite-log", "", "file for JSON lines of every INVITE, synced to disk")
	flag.StringVar(&o.logLevel, "log-level", "error", "level of LiveKit's own log on stderr")
	flag.BoolVar(&o.exitWithStdin, "exit-with-stdin", false, "end when stdin closes, as it does when the parent dies")
	flag.Parse()
	return o
}

func (o options) redis() (*redis.Options, error) {
	if o.redisAddress != "" {
		return &redis.Options{Addr: o.redisAddress}, nil
	}
	return redis.ParseURL(o.redisURL)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	o := parseOptions()
	if o.exitWithStdin {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	if err := serve(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "sip_gateway:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, o options) error {
	if err := requireTools(); err != nil {
		return err
	}
	logger.InitFromConfig(&logger.Config{Level: o.logLevel}, "sip_gateway")
	written, err := openLedger(o.inviteLog)
	if err != nil {
		return err
	}
	redisOptions, err := o.redis()
	if err != nil {
		return err
	}
	store := redis.NewClient(redisOptions)
	defer store.Close()
	g, server, err := connect(o, psrpc.NewRedisMessageBus(store), written)
	if err != nil {
		return err
	}
	defer server.Kill()
	defer g.shutdown()
	if err := waitUntilSubscribed(ctx, store); err != nil {
		return err
	}
	return serveControl(ctx, o.controlAddress, g)
}

// connect registers the gateway as SIP service.
func connect(o options, bus psrpc.MessageBus, written *ledger) (*gateway, rpc.SIPInternalServer, error) {
	wall := wallClock{}
	g := &gateway{
		serverURL: o.livekitURL, apiKey: o.apiKey, apiSecret: o.apiSecret, log: logger.GetLogger(),
		clock: wall, ledger: written, script: newScript(wall), faults: &faults{}, speaker: newVoices(),
		join: joinRoom, calls: map[string]*call{},
	}
	dispatch, err := rpc.NewIOInfoClient(bus)
	if err != nil {
		return nil, nil, err
	}
	server, err := rpc.NewSIPInternalServer(g, bus)
	if err != nil {
		return nil, nil, err
	}
	g.dispatch, g.topics = dispatch, server
	return g, server, server.RegisterCreateSIPParticipantTopic("")
}

// waitUntilSubscribed holds the ready line back: the bus subscribes in the background, and until it has, the server
// answers "no response from servers".
func waitUntilSubscribed(ctx context.Context, store *redis.Client) error {
	ctx, cancel := context.WithTimeout(ctx, subscribeTimeout)
	defer cancel()
	for {
		channels, err := store.PubSubChannels(ctx, "SIPInternal|*CreateSIPParticipant*").Result()
		if err != nil {
			return fmt.Errorf("redis: %w", err)
		}
		if len(channels) > 0 {
			return nil
		}
		if err := (wallClock{}).Sleep(ctx, subscribePoll); err != nil {
			return fmt.Errorf("redis didn't take the subscription: %w", err)
		}
	}
}

func serveControl(ctx context.Context, address string, g *gateway) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: control{g}.routes(), ReadHeaderTimeout: readHeaderTimeout}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	ready := map[string]string{"control_address": listener.Addr().String()}
	if err := json.NewEncoder(os.Stdout).Encode(ready); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return server.Close()
	case err := <-failed:
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return err
	}
}

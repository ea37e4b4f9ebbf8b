// Probe is the one program of the bench's own container image: the pause container of every sandbox, and what
// tests of the real node run.
//
//	probe                  sleep until told to end, burying orphans
//	probe linger SECONDS   the same, but take that long to end, like a worker that drains its calls
//	probe say WORD…        print and end
//	probe show FILE        print a file and end
//	probe dial ADDRESS     connect once, say so and end
//	probe listen ADDRESS   greet whoever connects
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const dialTimeout = 5 * time.Second

func main() {
	arguments := os.Args[1:]
	switch {
	case len(arguments) == 0:
		linger(0)
	case arguments[0] == "linger" && len(arguments) == 2:
		seconds, err := strconv.Atoi(arguments[1])
		exitOn(err)
		linger(time.Duration(seconds) * time.Second)
	case arguments[0] == "say":
		fmt.Println(strings.Join(arguments[1:], " "))
	case arguments[0] == "show" && len(arguments) == 2:
		text, err := os.ReadFile(arguments[1])
		exitOn(err)
		_, err = os.Stdout.Write(text)
		exitOn(err)
	case arguments[0] == "dial" && len(arguments) == 2:
		connection, err := net.DialTimeout("tcp", arguments[1], dialTimeout)
		exitOn(err)
		fmt.Println("reached", connection.RemoteAddr())
		exitOn(connection.Close())
	case arguments[0] == "listen" && len(arguments) == 2:
		exitOn(greet(arguments[1]))
	default:
		fmt.Fprintln(os.Stderr, "usage: probe [linger SECONDS | say WORD… | show FILE | dial ADDRESS | listen ADDRESS]")
		os.Exit(2)
	}
}

func linger(grace time.Duration) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	fmt.Println("ready")
	for received := range signals {
		if received == syscall.SIGCHLD {
			bury()
			continue
		}
		fmt.Println("told to end, draining for", grace)
		time.Sleep(grace)
		fmt.Println("drained")
		return
	}
}

func greet(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		fmt.Fprintln(connection, "hello")
		connection.Close()
	}
}

// bury waits for every orphan that ended: a sandbox's first process inherits them.
func bury() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if pid <= 0 || err != nil {
			return
		}
	}
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

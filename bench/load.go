package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// runLoad publishes a number of events over a number of connections, each
// waiting for the answer before it sends the next, or at a steady rate.
func runLoad(args []string) error {
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	url := flags.String("url", "", "where to publish")
	events := flags.Int("events", 1000, "how many")
	connections := flags.Int("connections", 64, "over how many connections")
	size := flags.Int("size", 500, "bytes of an event")
	rate := flags.Int("rate", 0, "events a second; 0: as fast as it goes")
	_ = flags.Parse(args) // exits on errors

	client := &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: *connections, MaxConnsPerHost: *connections},
		Timeout:   30 * time.Second,
	}
	var (
		next   atomic.Int64
		failed atomic.Pointer[error]
		turn   <-chan time.Time
		wg     sync.WaitGroup
	)
	if *rate > 0 {
		ticker := time.NewTicker(time.Second / time.Duration(*rate))
		defer ticker.Stop()
		turn = ticker.C
	}
	for range *connections {
		wg.Go(func() {
			for next.Add(1) <= int64(*events) && failed.Load() == nil {
				if turn != nil {
					<-turn
				}
				if err := publish(client, *url, *size); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// publish posts one event of the given size.
func publish(client *http.Client, url string, size int) error {
	const form = `{"type":"project.created","data":{"id":"proj_123","name":"My Project","sent_at":"%d","padding":"%s"}}`
	now := time.Now().UnixNano()
	padding := max(0, size-len(fmt.Sprintf(form, now, "")))
	body := fmt.Appendf(nil, form, now, strings.Repeat("x", padding))

	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+ingestKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return nil
}

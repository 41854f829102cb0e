package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// stream asks for an answer of any size and writes it to w. It ends when nothing
// comes for adminTime. An error means that what w got is not all.
func (c *adminClient) stream(ctx context.Context, path string, w io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(adminTime, func() {
		cancel(fmt.Errorf("the running process sent nothing for %v", adminTime))
	})
	defer silence.Stop()

	resp, err := c.send(ctx, &http.Client{Transport: c.http.Transport}, http.MethodGet, path, "", "")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body := &answerBody{ctx: ctx, body: resp.Body, silence: silence}
	if resp.StatusCode >= 400 {
		text, err := io.ReadAll(io.LimitReader(body, maxAdminAnswer))
		if err != nil {
			return err
		}
		return answerError(resp, text)
	}
	_, err = io.Copy(w, body)
	return err
}

// answerBody is the body of an answer that may take long. The time that is spent
// on what was read does not count as silence.
type answerBody struct {
	ctx     context.Context
	body    io.Reader
	silence *time.Timer
}

func (b *answerBody) Read(p []byte) (int, error) {
	b.silence.Reset(adminTime)
	n, err := b.body.Read(p)
	b.silence.Stop()
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return n, err
	case b.ctx.Err() != nil:
		return n, context.Cause(b.ctx)
	}
	return n, fmt.Errorf("the running process ended its answer too soon; its log may say why: %w", err)
}

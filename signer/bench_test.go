package signer_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

var benchBodies = []int{500, 256 << 10}

func BenchmarkSign(b *testing.B) {
	one := []webhook.Secret{{Value: signer.Generate(), Role: webhook.SecretPrimary}}
	two := append(one, webhook.Secret{Value: signer.Generate(), Role: webhook.SecretPrevious})
	for _, secrets := range [][]webhook.Secret{one, two} {
		for _, size := range benchBodies {
			b.Run(fmt.Sprintf("secrets=%d/body=%d", len(secrets), size), func(b *testing.B) {
				s := signer.New(secrets)
				body := make([]byte, size)
				now := time.Now()
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					s.Sign(now, "evt_01J9Z3Q8M5WXYZ0123456789AB", body)
				}
			})
		}
	}
}

func BenchmarkVerifyStandard(b *testing.B) {
	secret := signer.Generate()
	now := time.Now()
	for _, size := range benchBodies {
		b.Run(fmt.Sprintf("body=%d", size), func(b *testing.B) {
			body := make([]byte, size)
			s := signer.New([]webhook.Secret{{Value: secret}}).Sign(now, "evt_01J9Z3Q8M5WXYZ0123456789AB", body)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if err := signer.VerifyStandard(now, s, body, secret); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

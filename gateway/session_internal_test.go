package gateway

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"
)

func TestOneKeyCannotSignTheOthersOut(t *testing.T) {
	var ss sessions
	now := time.Now()
	quiet := Key{Name: "quiet", Hash: HashToken("quiet")}
	greedy := Key{Name: "greedy", Hash: HashToken("greedy")}
	kept := ss.begin(&session{key: quiet}, now, SessionLife)
	linked := ss.begin(&session{key: greedy, link: "proj_1"}, now, LinkLife)
	var last string
	for range 2 * maxSessions {
		now = now.Add(time.Millisecond)
		last = ss.begin(&session{key: greedy}, now, SessionLife)
	}
	for name, token := range map[string]string{"of another key": kept, "of a link": linked, "that came last": last} {
		if _, ok := ss.touch(HashToken(token), now); !ok {
			t.Errorf("the session %s has ended", name)
		}
	}
	if n := len(ss.byHash); n > maxSessions {
		t.Errorf("%d sessions are kept, want %d at most", n, maxSessions)
	}
}

func TestOneKeyCannotKeepTheOthersFromLinks(t *testing.T) {
	var ls links
	now := time.Now()
	add := func(key, project string) bool {
		return ls.add(HashToken(secretToken()), link{by: Key{Hash: HashToken(key)}, projectID: project, expires: now.Add(linkValid)}, now)
	}
	for i := range maxLinksOfOne {
		if !add("greedy", "proj_1") {
			t.Fatalf("link %d is refused", i)
		}
	}
	if add("greedy", "proj_1") {
		t.Error("one more of the same key and project is kept")
	}
	if !add("greedy", "proj_2") || !add("quiet", "proj_1") {
		t.Error("another project, or another key, gets none")
	}
	now = now.Add(linkValid)
	if !add("greedy", "proj_1") || len(ls.byHash) != 1 {
		t.Errorf("when they have expired there is no room; %d are kept", len(ls.byHash))
	}
}

func TestLinksOfOneKeyForManyProjectsLeaveRoomForOthers(t *testing.T) {
	now := time.Now()
	of := func(key, project string) link {
		return link{by: Key{Hash: HashToken(key)}, projectID: project, expires: now.Add(linkValid)}
	}
	kept := HashToken("kept")
	ls := links{byHash: map[[sha256.Size]byte]link{kept: of("quiet", "proj_1")}}
	for i := range maxLinks - 1 {
		ls.byHash[HashToken(fmt.Sprint(i))] = of("greedy", fmt.Sprintf("proj_%d", i%10))
	}
	now = now.Add(time.Second)
	last := HashToken("last")
	if !ls.add(last, of("quiet", "proj_2"), now) {
		t.Error("there is no room for a link of another key")
	}
	for name, hash := range map[string][sha256.Size]byte{"of another key": kept, "that came last": last} {
		if _, ok := ls.take(hash, now); !ok {
			t.Errorf("the link %s is gone", name)
		}
	}
	if n := len(ls.byHash); n > maxLinks {
		t.Errorf("%d links are kept, want %d at most", n, maxLinks)
	}
}

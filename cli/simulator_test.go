package cli

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestSimulatorServesUntilStopped reads the line that it prints when ready,
// calls the API with what the line says, and stops it.
func TestSimulatorServesUntilStopped(t *testing.T) {
	stop := make(chan struct{})
	out, in := io.Pipe()
	cmd := newSimulatorCommand(stop)
	cmd.SetOut(in)
	cmd.SetErr(io.Discard)
	cmd.SetArgs([]string{
		"--listen", "127.0.0.1:0", "--companies", "3", "--token", "secret",
		"--property", "sla:enumeration=GOLD,SILVER", "--faults", "503,op=list; hang,op=usage",
	})
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(t.Context()) }()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`HUBSPOT_BASE_URL=(http://127\.0\.0\.1:\d+) HUBSPOT_ACCESS_TOKEN=secret\n$`).FindStringSubmatch(line)
	if found == nil {
		t.Fatalf("ready line %q", line)
	}
	call := func(path string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, found[1]+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer secret")
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err.Error()
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		return r.StatusCode, string(body)
	}
	if status, body := call("/crm/v3/objects/companies/3?idProperty=account_id&properties=domain"); status != 200 || !strings.Contains(body, "account3.example") {
		t.Errorf("%d %s", status, body)
	}
	if status, body := call("/crm/v3/properties/companies/sla"); status != 200 || !strings.Contains(body, "SILVER") {
		t.Errorf("%d %s", status, body)
	}
	if status, _ := call("/crm/v3/objects/companies"); status != 503 {
		t.Errorf("the fault did not befall the call: %d", status)
	}
	hung := make(chan int, 1)
	go func() {
		status, _ := call("/account-info/v3/api-usage/daily/private-apps")
		hung <- status
	}()
	for {
		if _, body := call("/_sim/stats"); strings.Contains(body, `"hang":1`) {
			break
		}
	}
	close(stop)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if status := <-hung; status != 0 {
		t.Errorf("a call that hung was answered with %d", status)
	}
}

func TestSimulatorNamesEveryMistake(t *testing.T) {
	cmd := newSimulatorCommand(nil)
	cmd.SetOut(io.Discard)
	cmd.SetArgs([]string{
		"--faults", "nope", "--limit", "many", "--quirks", "nope=on", "--property", "x:money", "--property", "ducks.x:string",
		"--time-zone", "Nowhere/City", "--companies", "-1", "--token", "",
	})
	err := cmd.ExecuteContext(t.Context())
	if err == nil {
		t.Fatal("no error")
	}
	var text bytes.Buffer
	if code := report(&printer{w: &text}, err); code != exitWrong {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{
		"--faults", "--limit", "--quirks", "--property x:money", "--property ducks.x:string", "--time-zone", "--companies", "--token",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%s is not named in\n%s", want, text.String())
		}
	}
	if got := strings.Count(text.String(), "\n"); got != 8 {
		t.Errorf("%d lines:\n%s", got, text.String())
	}
}

func TestSimulatorAddressTaken(t *testing.T) {
	stop := make(chan struct{})
	close(stop)
	cmd := newSimulatorCommand(stop)
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	cmd.SetArgs([]string{"--listen", "127.0.0.1:99999"})
	err := cmd.ExecuteContext(t.Context())
	if err == nil || !strings.Contains(err.Error(), "--listen 127.0.0.1:99999") {
		t.Errorf("%v", err)
	}
}

func TestParseQuirks(t *testing.T) {
	q, err := parseQuirks("echoTrace=on, updateErrorsPerInput=random")
	if err != nil || q.EchoTrace != "on" || q.UpdateErrorsPerInput != "random" {
		t.Errorf("%+v %v", q, err)
	}
	if _, err := parseQuirks("echoTrace=maybe"); err == nil || !strings.Contains(err.Error(), "off, on, random") {
		t.Errorf("%v", err)
	}
}

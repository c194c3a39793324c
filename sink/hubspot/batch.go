package hubspot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
)

// Property is a property's internal name and its value. The empty value clears.
type Property struct {
	Name, Value string
}

// Input is one record of a batch.
type Input struct {
	// ID is the record id, or the value of IDProperty. Empty for a create.
	ID string
	// IDProperty names a property with unique values. Empty: ID is a record id.
	IDProperty string
	// TraceID must be unique in the batch; the client makes one if it is empty.
	TraceID    string
	Properties []Property
}

// batchNumber tells the trace ids of one batch from those of another.
var batchNumber atomic.Uint64

// BatchUpdate writes properties of up to MaxBatch records. No record is ever
// created. The error is *Error where HubSpot refused the batch as a whole, or
// wraps ctx's; the answer's Unanswered and Attempts count in either case.
func (c *Client) BatchUpdate(ctx context.Context, object string, inputs []Input) (Answer, error) {
	return c.write(ctx, object, "update", inputs)
}

// BatchUpsert writes properties of up to MaxBatch records and creates those that
// do not exist. Every input needs an IDProperty.
func (c *Client) BatchUpsert(ctx context.Context, object string, inputs []Input) (Answer, error) {
	return c.write(ctx, object, "upsert", inputs)
}

func (c *Client) write(ctx context.Context, object, verb string, inputs []Input) (Answer, error) {
	if len(inputs) == 0 {
		return Answer{}, nil
	}
	if len(inputs) > MaxBatch {
		return Answer{}, fmt.Errorf("a batch of %d inputs: HubSpot takes %d", len(inputs), MaxBatch)
	}
	traces := make([]string, len(inputs))
	number := batchNumber.Add(1)
	size := 16
	for i := range inputs {
		if traces[i] = inputs[i].TraceID; traces[i] == "" {
			traces[i] = traceID(number, i)
		}
		size += 96 + len(inputs[i].ID)
		for j := range inputs[i].Properties {
			size += len(inputs[i].Properties[j].Name) + len(inputs[i].Properties[j].Value) + 8
		}
	}
	body := append(make([]byte, 0, size), `{"inputs":[`...)
	for i := range inputs {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendInput(body, &inputs[i], traces[i])
	}
	body = append(body, ']', '}')

	var parsed batchAnswer
	r, err := c.do(ctx, &call{
		endpoint: object + "/batch/" + verb,
		method:   http.MethodPost,
		path:     c.objectPath(object, "batch", verb),
		body:     body,
		gate:     object,
		check:    func(r reply) (err error) { parsed, err = parseBatch(r.body); return err },
	})
	if err != nil {
		return Answer{Attempts: r.attempts, Unanswered: r.unanswered, CorrelationID: correlation(err)}, err
	}
	answer := account(inputs, traces, &parsed)
	answer.Attempts, answer.Unanswered, answer.CorrelationID = r.attempts, r.unanswered, r.correlationID
	return answer, nil
}

// BatchArchive moves up to MaxBatch records, named by record id, to the
// portal's recycle bin. Mostly the answer has no body, and nothing says which ids
// existed: then all are Written.
func (c *Client) BatchArchive(ctx context.Context, object string, ids []string) (Answer, error) {
	if len(ids) == 0 {
		return Answer{}, nil
	}
	if len(ids) > MaxBatch {
		return Answer{}, fmt.Errorf("a batch of %d inputs: HubSpot takes %d", len(ids), MaxBatch)
	}
	body := append(appendIDs([]byte{'{'}, ids), '}')
	var parsed batchAnswer
	r, err := c.do(ctx, &call{
		endpoint: object + "/batch/archive",
		method:   http.MethodPost,
		path:     c.objectPath(object, "batch", "archive"),
		body:     body,
		gate:     object,
		check: func(r reply) (err error) {
			if r.status == http.StatusMultiStatus {
				parsed, err = parseBatch(r.body)
			}
			return err
		},
	})
	answer := Answer{Attempts: r.attempts, Unanswered: r.unanswered, CorrelationID: r.correlationID}
	if err != nil {
		answer.CorrelationID = correlation(err)
		return answer, err
	}
	m := matcher{inputs: make([]Input, len(ids)), outcomes: make([]Outcome, len(ids))}
	for i, id := range ids {
		m.inputs[i].ID = id
		m.outcomes[i] = Outcome{State: Written, ID: id}
	}
	m.index(make([]string, len(ids)))
	m.errors(parsed.errors)
	answer.Outcomes, answer.Stray = m.outcomes, m.stray
	return answer, nil
}

func correlation(err error) string {
	var refusal *Error
	if errors.As(err, &refusal) {
		return refusal.CorrelationID
	}
	return ""
}

// appendIDs writes the inputs of a call that names records and nothing else.
func appendIDs(body []byte, ids []string) []byte {
	body = append(body, `"inputs":[`...)
	for i, id := range ids {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, `{"id":`...)
		body = appendString(body, id)
		body = append(body, '}')
	}
	return append(body, ']')
}

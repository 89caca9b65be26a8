-- From schema 5 to 6: what a carrier took stands with the leg that it carried, and no other.

DROP VIEW cdr;
CREATE VIEW cdr AS
SELECT call.id AS id, call.call_id AS call_id, leg.leg AS leg, call.account AS account,
    coalesce(leg.account_id, call.account_id) AS account_id,
    coalesce(leg.direction, call.direction) AS direction, call.caller AS caller,
    coalesce(nullif(leg.callee, ''), call.callee) AS callee,
    call.started_utc_ms AS started_utc_ms,
    call.answered_utc_ms AS answered_utc_ms, call.ended_utc_ms AS ended_utc_ms,
    call.talk_ms AS talk_ms, coalesce(leg.billed_ms, 0) AS billed_ms,
    coalesce(leg.cost, 0) AS cost, coalesce(leg.per_minute, 0) AS per_minute,
    coalesce(leg.tariff_ref, '') AS tariff_ref, coalesce(leg.route, '') AS route,
    coalesce(leg.deck, 0) AS deck,
    CASE WHEN leg.leg = (SELECT max(gone.leg) FROM leg AS gone WHERE gone.call = call.id
        AND gone.direction = 'out' AND (gone.billed_ms > 0 OR call.talk_ms = 0))
        THEN call.carrier_cost END AS carrier_cost,     -- of the leg that a carrier took
    CASE WHEN leg.leg = (SELECT max(gone.leg) FROM leg AS gone WHERE gone.call = call.id
        AND gone.direction = 'out' AND (gone.billed_ms > 0 OR call.talk_ms = 0))
        THEN leg.cost - call.carrier_cost END AS margin,
    call.cost_ref AS cost_ref, call.cost_deck AS cost_deck,
    call.disposition AS disposition, call.cause AS cause, call.ended_by AS ended_by,
    call.carrier AS carrier, call.reason AS reason, call.detail AS detail,
    call.host_id AS host_id
FROM call LEFT JOIN leg ON leg.call = call.id
WHERE call.state <> 'open';

-- Logs in over and over, from 64 networks in turn. A patient client that is refused waits for as long as
-- Retry-After says.
local patient, pause, network = false, 0, 0

function init(arguments)
   patient = arguments[1] == "patient"
   wrk.method = "POST"
   wrk.headers["Content-Type"] = "application/json"
   wrk.body = '{"email":"ada@example.org","password":"long enough","device_name":"bench"}'
end

function request()
   network = (network + 1) % 64
   wrk.headers["X-Forwarded-For"] = "192.0.2." .. network
   return wrk.format()
end

function response(status, headers)
   local seconds = headers["retry-after"] or headers["Retry-After"]
   pause = patient and seconds and seconds * 1000 or 0
end

function delay()
   return pause
end

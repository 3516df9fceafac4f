-- Sends each request with the next token of a file; after the last from the first again, or, asked
-- to walk once, it stops then. Both sides of a comparison run it, so what it costs cancels out.
local requests, sent, once = {}, 0, false

function init(arguments)
   once = arguments[2] == "once"
   wrk.headers["Authorization"] = "Bearer @"
   local head, tail = wrk.format():match("^(.*)@(.*)$")
   for token in io.lines(arguments[1]) do
      requests[#requests + 1] = head .. token .. tail
   end
   -- From here on there is no garbage; a collection would stop the load.
   collectgarbage("stop")
end

function request()
   if sent == #requests then
      sent = 0
      if once then wrk.thread:stop() end
   end
   sent = sent + 1
   return requests[sent]
end

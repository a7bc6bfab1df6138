-- Seats for the phones that register at a FreeSWITCH; lua.conf.xml beside this file calls it for each event of sofia.
-- One seat for each user, however many phones (rule E3). Refused: the registration is taken away again.

local SOCKET = "/run/license-agent/socket"

local api = freeswitch.API()
local kind = event:getHeader("Event-Subclass")
local user = event:getHeader("from-user") or event:getHeader("user")
local host = event:getHeader("from-host") or event:getHeader("host")
local profile = event:getHeader("profile-name") or "internal"

local function quoted(text)  -- for a path
    return (text:gsub("[^%w%-._~]", function(byte) return string.format("%%%02X", byte:byte()) end))
end

local function ask(method)
    -- What is quoted has neither quotes nor spaces: nothing of it reaches the shell as anything but a path.
    local command = "curl --silent --max-time 5 --unix-socket " .. SOCKET .. " --request " .. method ..
        " --write-out '%{http_code}' --output /dev/null 'http://agent/v1/seats/port/user/" .. quoted(user) .. "'"
    local answer = io.popen(command)
    local status = answer:read("*a")
    answer:close()
    return status
end

local function log(text)
    freeswitch.consoleLog("WARNING", "license: " .. user .. "@" .. host .. ": " .. text .. "\n")
end

if user == nil or host == nil then
    return
elseif kind == "sofia::register" then
    local status = ask("PUT")
    if status == "403" then
        log("refused; see the agent's log and /v1/events")
        api:executeString("sofia profile " .. profile .. " flush_inbound_reg " .. user .. "@" .. host)
    elseif status ~= "200" then
        log("the agent answered " .. status .. "; the phone stays registered, and asks again when it next registers")
    end
elseif api:executeString("sofia_contact " .. profile .. "/" .. user .. "@" .. host):find("^error/") then
    local status = ask("DELETE")  -- it was the last one
    if status ~= "200" then
        log("the agent answered " .. status .. " when its seat was given back")
    end
end

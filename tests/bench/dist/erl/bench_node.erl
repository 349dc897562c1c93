%% The Erlang counterpart of node.go: the same processes, messages and commands.
%% See doc.go for what they are.
-module(bench_node).
-export([start/0]).
-behaviour(gen_server).
-export([init/1, handle_call/3, handle_cast/2]).

-define(SINKS, 16).

start() ->
    [register(sink_name(I), spawn(fun() -> sink(none, 0, 0) end)) || I <- lists:seq(1, ?SINKS)],
    {ok, _} = gen_server:start({local, echo}, ?MODULE, [], []),
    say("ready", []),
    commands().

sink_name(I) -> list_to_atom("sink_" ++ integer_to_list(I)).

say(Format, Args) -> io:format(Format ++ "~n", Args).

commands() ->
    case io:get_line("") of
        Line when is_list(Line) ->
            [Command, Peer | Numbers] = string:lexemes(Line, " \n"),
            command(Command, list_to_atom(Peer), [list_to_integer(N) || N <- Numbers]),
            commands();
        _ ->
            halt(0)
    end.

command("send", Peer, [Pairs, Size, Window, Step, Warmup, Duration]) ->
    Acked = counters:new(Pairs, [write_concurrency]),
    Payload = binary:copy(<<"x">>, Size),
    Me = self(),
    Senders = [spawn_link(fun() -> sender(Me, Peer, I, Payload, Window, Step, Acked) end)
               || I <- lists:seq(1, Pairs)],
    timer:sleep(Warmup),
    {Count, Start} = {total(Acked, Pairs), erlang:monotonic_time(nanosecond)},
    say("begin", []),
    timer:sleep(Duration),
    {Count1, Stop} = {total(Acked, Pairs), erlang:monotonic_time(nanosecond)},
    say("end ~b ~b", [Count1 - Count, Stop - Start]),
    [S ! stop || S <- Senders],
    Ends = [receive {ended, S, Sent, Got} -> {Sent, Got} end || S <- Senders],
    say("done ~b ~b", [lists:sum([S || {S, _} <- Ends]), lists:sum([G || {_, G} <- Ends])]);
command("call", Peer, [Callers, Warmup, Duration]) ->
    Echo = gen_server:call({echo, Peer}, whereis),
    Begin = erlang:monotonic_time(nanosecond) + Warmup * 1000000,
    End = Begin + Duration * 1000000,
    Me = self(),
    Pids = [spawn_link(fun() -> Me ! {called, self(), calls(Echo, 0, [], Begin, End)} end)
            || _ <- lists:seq(1, Callers)],
    timer:sleep(Warmup),
    say("begin", []),
    Times = lists:append([receive {called, P, Ts} -> Ts end || P <- Pids]),
    N = length(Times),
    say("end ~b ~b", [N, erlang:monotonic_time(nanosecond) - Begin]),
    Sorted = lists:sort(Times),
    Quantile = fun(Q) -> lists:nth(min(N, 1 + trunc(N * Q)), Sorted) end,
    say("done ~b ~b", [Quantile(0.5), Quantile(0.99)]).

total(Counters, N) -> lists:sum([counters:get(Counters, I) || I <- lists:seq(1, N)]).

%% The times of the calls that began in the measured part.
calls(Echo, I, Times, Begin, End) ->
    Start = erlang:monotonic_time(nanosecond),
    if
        Start > End ->
            Times;
        true ->
            I = gen_server:call(Echo, I),
            Took = erlang:monotonic_time(nanosecond) - Start,
            calls(Echo, I + 1, if Start > Begin -> [Took | Times]; true -> Times end, Begin, End)
    end.

%% A sender keeps up to Window messages on their way.
sender(Parent, Peer, I, Payload, Window, Step, Acked) ->
    {sink_name(I), Peer} ! {hello, self(), Step},
    receive
        {welcome, Sink} ->
            fill(Sink, Payload, Window),
            sending(Parent, Sink, I, Payload, Step, Acked, Window)
    end.

fill(_Sink, _Payload, 0) -> ok;
fill(Sink, Payload, N) ->
    Sink ! Payload,
    fill(Sink, Payload, N - 1).

sending(Parent, Sink, I, Payload, Step, Acked, Sent) ->
    receive
        ack ->
            counters:add(Acked, I, Step),
            fill(Sink, Payload, Step),
            sending(Parent, Sink, I, Payload, Step, Acked, Sent + Step);
        stop ->
            Sink ! finish,
            Parent ! {ended, self(), Sent, finished()}
    end.

finished() ->
    receive
        {finished, Got} -> Got;
        ack -> finished()
    end.

%% A sink counts, and tells its sender of every Step-th message.
sink(Sender, Step, Count) ->
    receive
        Payload when is_binary(Payload) ->
            case Count + 1 of
                N when N rem Step =:= 0 -> Sender ! ack, sink(Sender, Step, N);
                N -> sink(Sender, Step, N)
            end;
        {hello, From, S} ->
            From ! {welcome, self()},
            sink(From, S, 0);
        finish ->
            Sender ! {finished, Count},
            sink(none, 0, 0)
    end.

init([]) -> {ok, []}.
handle_call(whereis, _From, State) -> {reply, self(), State};
handle_call(Request, _From, State) -> {reply, Request, State}.
handle_cast(_Request, State) -> {noreply, State}.
